// Other people's weights: PyTorch's state dicts, which name and hold the same network in more ways than one.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "engine/io/tensor_file.h"
#include "models/segmenter.h"

namespace unet::models {

/// A file whose tensors' names begin with `prefix`, seen without it.
struct WeightsFile {
  const TensorFile& file;
  std::string prefix;

  const TensorInfo* find(const std::string& name) const { return file.find(prefix + name); }
};

/// What wrappers ("module.", "_orig_mod.", "model.", "net.", nested in any way) put before names in the file; always
/// "", and first.
std::set<std::string> prefixes_of(const TensorFile& file);

/// Takes values, in the order of its elements, into a tensor wherever it lies.
void put(const Tensor& to, const std::vector<double>& values);

/// The file's notes and, if it has F16 or BF16 tensors, a line for them.
std::vector<std::string> notes_of(const TensorFile& file);

/// What becomes of a head with another number of outputs than the network's.
enum class OtherHead { refused, stays_as_drawn };

/// Loads a network's weights, strictly as load_model does but for these: a prefix of all names; F16 and BF16; biases of
/// convolutions before a batch norm, which its running mean takes; num_batches_tracked that is not there, which is 0;
/// for two classes a head of one output z, which becomes the logits [0, z]; and, if that is asked for, another head.
/// Returns the file's notes and a line for each of them that it needed. Throws Error before anything has changed.
std::vector<std::string> load_weights(const TensorFile& file, Segmenter& segmenter,
                                      OtherHead other_head = OtherHead::refused);

}  // namespace unet::models
