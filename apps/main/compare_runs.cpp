#include "apps/programs.h"

int main(int argc, char** argv) { return unet::compare_runs(argc, argv, unet::models::registry()); }
