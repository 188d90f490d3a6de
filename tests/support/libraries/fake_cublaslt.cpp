// A cuBLASLt that multiplies nothing and remembers what it was asked. Types as the calls pass them: a status is an int,
// 0 for success, and every descriptor a pointer.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace {

constexpr int kInvalidValue = 7, kMinAlignmentA = 5;  // of CUBLASLT_MATMUL_PREF_...; B, C and D follow

using Alignments = std::array<std::uint32_t, 4>;  // that a preference allows of A, B, C and D

}  // namespace

extern "C" {

// For the test: heuristics and products asked for, and the largest alignment of operands that a heuristic could assume.
int fake_heuristics = 0, fake_products = 0;
std::uint32_t fake_alignment = 0;

std::size_t cublasLtGetVersion() { return 130000; }
const char* cublasLtGetStatusName(int) { return "CUBLAS_STATUS_FAKE"; }
int cublasLtCreate(void**) { return 0; }
int cublasLtMatmulDescCreate(void**, int, int) { return 0; }
int cublasLtMatmulDescSetAttribute(void*, int, const void*, std::size_t) { return 0; }
int cublasLtMatrixLayoutCreate(void**, int, std::uint64_t, std::uint64_t, std::int64_t) { return 0; }

int cublasLtMatmulPreferenceCreate(void** made) {
  *made = new Alignments{256, 256, 256, 256};  // the library's default
  return 0;
}
int cublasLtMatmulPreferenceDestroy(void* preference) {
  delete static_cast<Alignments*>(preference);
  return 0;
}
int cublasLtMatmulPreferenceSetAttribute(void* preference, int attribute, const void* value, std::size_t bytes) {
  const int operand = attribute - kMinAlignmentA;
  if (operand < 0 || operand > 3) return 0;
  std::uint32_t given = 0;
  if (bytes != sizeof given) return kInvalidValue;
  std::memcpy(&given, value, bytes);
  (*static_cast<Alignments*>(preference))[static_cast<std::size_t>(operand)] = given;
  return 0;
}

int cublasLtMatmulAlgoGetHeuristic(void*, void*, void*, void*, void*, void*, void* preference, int, void*, int* count) {
  ++fake_heuristics;
  const auto& allowed = *static_cast<const Alignments*>(preference);
  fake_alignment = std::max(fake_alignment, *std::max_element(allowed.begin(), allowed.end()));
  *count = 1;
  return 0;
}
int cublasLtMatmul(void*, void*, const void*, const void*, void*, const void*, void*, const void*, const void*, void*,
                   void*, void*, const void*, void*, std::size_t, void*) {
  ++fake_products;
  return 0;
}

}  // extern "C"
