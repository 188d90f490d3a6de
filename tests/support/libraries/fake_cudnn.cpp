// A cuDNN of which a part cannot be loaded: its heuristics fail. Types as the calls pass them: a status is an int, 0
// for success, and every handle or descriptor a pointer.
#include <cstdint>
#include <cstdio>

namespace {

constexpr int kHeuristic = 4;                   // CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR
constexpr int kSublibraryLoadingFailed = 1008;  // CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED

}  // namespace

extern "C" {

std::size_t cudnnGetVersion() { return 91900; }
const char* cudnnGetErrorString(int) { return "CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED"; }
void cudnnGetLastErrorString(char* to, std::size_t size) { std::snprintf(to, size, "no libcudnn_heuristic.so.9"); }
int cudnnCreate(void**) { return 0; }
int cudnnDestroy(void*) { return 0; }
int cudnnSetStream(void*, void*) { return 0; }
int cudnnBackendCreateDescriptor(int type, void** made) {
  *made = new int{type};
  return 0;
}
int cudnnBackendDestroyDescriptor(void* descriptor) {
  delete static_cast<int*>(descriptor);
  return 0;
}
int cudnnBackendFinalize(void* descriptor) {
  return *static_cast<int*>(descriptor) == kHeuristic ? kSublibraryLoadingFailed : 0;
}
int cudnnBackendSetAttribute(void*, int, int, std::int64_t, const void*) { return 0; }
int cudnnBackendGetAttribute(void*, int, int, std::int64_t, std::int64_t*, void*) { return 0; }
int cudnnBackendExecute(void*, void*, void*) { return 0; }
}
