// A 3x3 convolution (stride 1, padding 1) with operands in guarded, poisoned buffers, and its reference in f64.
#pragma once

#include <string>
#include <vector>

#include "kernels/conv_plan.h"
#include "kernels/cpu/isa.h"

namespace unet::test {

/// A buffer of f32 or bf16 between guard zones; poisoned with NaN until filled.
class Buffer {
 public:
  /// [pixels][channels] with a channel pitch.
  Buffer(kernels::Dtype dtype, std::array<std::int64_t, 4> dims, std::int64_t pitch = 0);

  /// Normal data, rounded to the dtype.
  void fill(unsigned seed, double scale = 1);
  double at(std::int64_t pixel, std::int64_t channel) const;
  /// Dense copy, [pixels][channels].
  std::vector<double> values() const;
  /// The elements' bytes.
  std::vector<unsigned char> bytes() const;
  /// True if nothing outside the view (guard zones, channels between C and pitch) was written.
  bool intact() const;
  kernels::View view();

 private:
  kernels::Extent extent_;
  std::vector<unsigned char> bytes_;
  std::size_t begin_ = 0;  // byte of the first element, 64-byte aligned in memory
};

struct Conv3x3 {
  std::int64_t N, H, W, Cin, Cout;

  kernels::ConvShape shape() const { return {N, H, W, Cin, Cout, 3, 3}; }
  std::string name() const;
};

std::vector<double> reference_forward(const Conv3x3& c, const std::vector<double>& x, const std::vector<double>& w);
std::vector<double> reference_backward_data(const Conv3x3& c, const std::vector<double>& dy,
                                            const std::vector<double>& w);
std::vector<double> reference_backward_weights(const Conv3x3& c, const std::vector<double>& x,
                                               const std::vector<double>& dy);

/// sum (a-b)^2 / sum b^2; NaN if any a is.
double nmse(const std::vector<double>& a, const std::vector<double>& b);

/// Runs a plan in a workspace of exactly its size, between guard zones and poisoned; false if a guard was hit.
bool run_guarded(const kernels::ConvPlan& plan, const kernels::ConvOperands& operands);

/// Instruction sets that this CPU has.
std::vector<kernels::cpu::Isa> instruction_sets();

}  // namespace unet::test
