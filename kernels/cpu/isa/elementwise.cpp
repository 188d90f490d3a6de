#include "kernels/cpu/isa/elementwise.h"

#include "kernels/cpu/isa/vec.h"

namespace unet::kernels::cpu::UNET_ISA {
namespace {

template <class T>
void add(const AddRun<T>& given, std::int64_t first, std::int64_t pixels, std::int64_t channels) {
  const AddRun<T> run = given;
  for (std::int64_t p = first; p < first + pixels; ++p) {
    const T* a = run.a + p * run.a_pitch;
    const T* b = run.b + p * run.b_pitch;
    T* y = run.y + p * run.y_pitch;
    for_channels<T>(
        channels, [&](auto n, std::int64_t c) __attribute__((always_inline)) {
          constexpr int N = n.count;
          prefetch(a + c, run.a_ahead);
          prefetch(b + c, run.b_ahead);
          put<T, N>(y + c, load<T, N>(a + c) + load<T, N>(b + c), run.stream_y);
        });
  }
  if (run.stream_y) fence();
}

void copy(const CopyRun& given, std::int64_t first, std::int64_t pixels, std::int64_t bytes) {
  const CopyRun run = given;
  constexpr int words = kVectorBytes / 4;
  for (std::int64_t p = first; p < first + pixels; ++p) {
    const unsigned char* from = run.from + p * run.from_pitch;
    unsigned char* to = run.to + p * run.to_pitch;
    std::int64_t i = 0;
    for (; i + kVectorBytes <= bytes; i += kVectorBytes) {
      prefetch(from + i, run.from_ahead);
      const auto vector = load<float, words>(reinterpret_cast<const float*>(from + i));
      put<float, words>(reinterpret_cast<float*>(to + i), vector, run.stream);
    }
    if (i < bytes) __builtin_memcpy(to + i, from + i, static_cast<std::size_t>(bytes - i));
  }
  if (run.stream) fence();
}

template <class From, class To>
void convert(const From* from, std::int64_t size, To* to) {
  for_channels<float>(
      size, [&](auto n, std::int64_t i)
                __attribute__((always_inline)) { store<To, n.count>(to + i, load<From, n.count>(from + i)); });
}

}  // namespace

const ElementwiseTable elementwise_loops = {
    {{add<float>}, {add<double>}, {add<bf16>}}, copy, convert<float, bf16>, convert<bf16, float>};

}  // namespace unet::kernels::cpu::UNET_ISA
