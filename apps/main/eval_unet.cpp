#include "apps/programs.h"

int main(int argc, char** argv) { return unet::eval_unet(argc, argv, unet::models::registry()); }
