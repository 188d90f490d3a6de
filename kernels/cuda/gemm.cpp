#include "kernels/cuda/gemm.h"

#include <cublasLt.h>
#include <fmt/format.h>

#include <map>
#include <stdexcept>
#include <tuple>

#include "kernels/cuda/libraries.h"
#include "kernels/cuda/runtime.h"

namespace unet::kernels::cuda {
namespace {

/// The entry points that are used, found once, and the library's handle.
struct Api {
  decltype(cublasLtCreate)* create;
  decltype(cublasLtGetStatusName)* status_name;
  decltype(cublasLtMatmulDescCreate)* create_operation;
  decltype(cublasLtMatmulDescSetAttribute)* set_operation;
  decltype(cublasLtMatrixLayoutCreate)* create_layout;
  decltype(cublasLtMatmulPreferenceCreate)* create_preference;
  decltype(cublasLtMatmulPreferenceSetAttribute)* set_preference;
  decltype(cublasLtMatmulPreferenceDestroy)* destroy_preference;
  decltype(cublasLtMatmulAlgoGetHeuristic)* heuristic;
  decltype(cublasLtMatmul)* matmul;
  cublasLtHandle_t handle = nullptr;
};

template <class Function>
void find(const Library& library, const char* name, Function*& function) {
  function = library.function<Function>(name);
}

/// doing(): what failed, made only then.
template <class Text>
void check(const Api& api, cublasStatus_t status, Text&& doing) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw std::runtime_error(fmt::format("cuBLASLt {}, {}: {}", cublaslt_version(), doing(), api.status_name(status)));
}

const Api& api() {
  static const Api known = [] {
    const Library& library = cublaslt_library();
    Api out{};
    find(library, "cublasLtCreate", out.create);
    find(library, "cublasLtGetStatusName", out.status_name);
    find(library, "cublasLtMatmulDescCreate", out.create_operation);
    find(library, "cublasLtMatmulDescSetAttribute", out.set_operation);
    find(library, "cublasLtMatrixLayoutCreate", out.create_layout);
    find(library, "cublasLtMatmulPreferenceCreate", out.create_preference);
    find(library, "cublasLtMatmulPreferenceSetAttribute", out.set_preference);
    find(library, "cublasLtMatmulPreferenceDestroy", out.destroy_preference);
    find(library, "cublasLtMatmulAlgoGetHeuristic", out.heuristic);
    find(library, "cublasLtMatmul", out.matmul);
    check(out, out.create(&out.handle), [] { return "opening the current device"; });
    return out;
  }();
  return known;
}

/// What one kind of product needs, made once and kept until the process ends.
struct Plan {
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t first = nullptr, second = nullptr, result = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
};

cudaDataType_t type_of(Dtype dtype) { return dtype == Dtype::bf16 ? CUDA_R_16BF : CUDA_R_32F; }

/// The library is column-major, where a row-major matrix reads as its transpose: C^T = op(B)^T op(A)^T, so B comes
/// first and the flags stay as they are.
Plan make_plan(const GemmShape& s, Dtype in, Dtype out) {
  const auto doing = [&] {
    return fmt::format("planning [{},{}] * [{},{}]{}{}, {} to {}", s.m, s.k, s.k, s.n,
                       s.transpose_a ? ", A transposed" : "", s.transpose_b ? ", B transposed" : "", name_of(in),
                       name_of(out));
  };
  const auto ok = [&](cublasStatus_t status) { check(api(), status, doing); };
  Plan plan;
  const bool rounds = s.tf32 && in == Dtype::f32;
  ok(api().create_operation(&plan.operation, rounds ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F));
  const cublasOperation_t first = s.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasOperation_t second = s.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
  ok(api().set_operation(plan.operation, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first));
  ok(api().set_operation(plan.operation, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second));
  const auto layout = [&](cublasLtMatrixLayout_t& made, Dtype dtype, std::int64_t rows, std::int64_t columns) {
    ok(api().create_layout(&made, type_of(dtype), static_cast<std::uint64_t>(columns), static_cast<std::uint64_t>(rows),
                           columns));
  };
  layout(plan.first, in, s.transpose_b ? s.n : s.k, s.transpose_b ? s.k : s.n);
  layout(plan.second, in, s.transpose_a ? s.k : s.m, s.transpose_a ? s.m : s.k);
  layout(plan.result, out, s.m, s.n);

  cublasLtMatmulPreference_t preference = nullptr;
  ok(api().create_preference(&preference));
  const std::uint64_t bytes = kGemmWorkspace;
  // Partial sums of a split k are added up from the workspace, in order; not in place, in the order of arrival.
  const std::uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  ok(api().set_preference(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes));
  ok(api().set_preference(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes, sizeof schemes));
  for (const auto operand : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                             CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    ok(api().set_preference(preference, operand, &kGemmAlignment, sizeof kGemmAlignment));
  }
  ok(api().heuristic(api().handle, plan.operation, plan.first, plan.second, plan.result, plan.result, preference, 1,
                     &found, &count));
  ok(api().destroy_preference(preference));
  if (count == 0) ok(CUBLAS_STATUS_NOT_SUPPORTED);
  plan.algorithm = found.algo;
  return plan;
}

}  // namespace

void gemm(const GemmShape& shape, const void* a, const void* b, Dtype in, void* c, Dtype out, void* workspace) {
  static auto& plans = *new std::map<std::tuple<GemmShape, Dtype, Dtype>, Plan>;
  auto found = plans.find({shape, in, out});
  if (found == plans.end()) found = plans.emplace(std::tuple(shape, in, out), make_plan(shape, in, out)).first;
  const Plan& plan = found->second;
  const float one = 1, zero = 0;
  check(api(),
        api().matmul(api().handle, plan.operation, &one, b, plan.first, a, plan.second, &zero, c, plan.result, c,
                     plan.result, &plan.algorithm, workspace, kGemmWorkspace,
                     static_cast<cudaStream_t>(runtime().stream())),
        [&] { return fmt::format("multiplying [{},{}] * [{},{}]", shape.m, shape.k, shape.k, shape.n); });
}

}  // namespace unet::kernels::cuda
