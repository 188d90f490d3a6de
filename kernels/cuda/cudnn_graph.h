// A thin owner of cuDNN 9's backend ("graph") API: descriptors are made, given attributes, finalized and destroyed;
// https://docs.nvidia.com/deeplearning/cudnn/backend/latest/api/cudnn-graph-library.html names them all. Every function
// here throws std::runtime_error with cuDNN's status and message, or as cudnn_library does.
//
// A plan is made for a CudnnTarget: the current device, or one that is only described, which needs neither a GPU nor a
// driver and serves to prove that plans exist.
#pragma once

#include <cudnn.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernels/view.h"

namespace unet::kernels::cuda {

/// What cuDNN calls the type of an attribute's value.
template <class T>
struct CudnnAttributeType;
template <>
struct CudnnAttributeType<std::int64_t> {
  static constexpr auto value = CUDNN_TYPE_INT64;
};
template <>
struct CudnnAttributeType<bool> {
  static constexpr auto value = CUDNN_TYPE_BOOLEAN;
};
template <>
struct CudnnAttributeType<float> {
  static constexpr auto value = CUDNN_TYPE_FLOAT;
};
template <>
struct CudnnAttributeType<char> {
  static constexpr auto value = CUDNN_TYPE_CHAR;
};
template <>
struct CudnnAttributeType<void*> {
  static constexpr auto value = CUDNN_TYPE_VOID_PTR;
};
template <>
struct CudnnAttributeType<cudnnHandle_t> {
  static constexpr auto value = CUDNN_TYPE_HANDLE;
};
template <>
struct CudnnAttributeType<cudnnDataType_t> {
  static constexpr auto value = CUDNN_TYPE_DATA_TYPE;
};
template <>
struct CudnnAttributeType<cudnnConvolutionMode_t> {
  static constexpr auto value = CUDNN_TYPE_CONVOLUTION_MODE;
};
template <>
struct CudnnAttributeType<cudnnPointwiseMode_t> {
  static constexpr auto value = CUDNN_TYPE_POINTWISE_MODE;
};
template <>
struct CudnnAttributeType<cudnnBackendHeurMode_t> {
  static constexpr auto value = CUDNN_TYPE_HEUR_MODE;
};
template <>
struct CudnnAttributeType<cudnnBackendNumericalNote_t> {
  static constexpr auto value = CUDNN_TYPE_NUMERICAL_NOTE;
};
template <>
struct CudnnAttributeType<cudnnBackendKnobType_t> {
  static constexpr auto value = CUDNN_TYPE_KNOB_TYPE;
};

/// Owns one backend descriptor. cuDNN does not promise to copy what a descriptor is given, so that must outlive it.
class CudnnDescriptor {
 public:
  explicit CudnnDescriptor(cudnnBackendDescriptorType_t type);
  CudnnDescriptor(CudnnDescriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, nullptr)) {}
  CudnnDescriptor& operator=(CudnnDescriptor&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~CudnnDescriptor();

  template <class T>
  void set(cudnnBackendAttributeName_t name, const T& value) {
    set_raw(name, CudnnAttributeType<T>::value, 1, &value);
  }
  template <class T>
  void set_all(cudnnBackendAttributeName_t name, std::span<const T> values) {
    set_raw(name, CudnnAttributeType<T>::value, static_cast<std::int64_t>(values.size()), values.data());
  }
  void set(cudnnBackendAttributeName_t name, const CudnnDescriptor& value) {
    set_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value.descriptor_);
  }
  void set_all(cudnnBackendAttributeName_t name, std::span<const CudnnDescriptor> values);
  void finalize();

  template <class T>
  T get(cudnnBackendAttributeName_t name) const {
    T value{};
    get_raw(name, CudnnAttributeType<T>::value, 1, &value);
    return value;
  }
  template <class T>
  std::vector<T> get_all(cudnnBackendAttributeName_t name) const {
    std::vector<T> values(static_cast<std::size_t>(get_raw(name, CudnnAttributeType<T>::value, 0, nullptr)));
    const std::int64_t count =
        get_raw(name, CudnnAttributeType<T>::value, static_cast<std::int64_t>(values.size()), values.data());
    values.resize(static_cast<std::size_t>(count));
    return values;
  }
  /// How many descriptors an attribute holds.
  std::int64_t count(cudnnBackendAttributeName_t name) const;
  /// Descriptors of the given type that cuDNN fills in, `most` or fewer.
  std::vector<CudnnDescriptor> get_descriptors(cudnnBackendAttributeName_t name, cudnnBackendDescriptorType_t type,
                                               std::int64_t most) const;

  cudnnBackendDescriptor_t raw() const { return descriptor_; }

 private:
  void set_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
               const void* values);
  /// Returns how many elements there are (at most `count` are written).
  std::int64_t get_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
                       void* values) const;

  cudnnBackendDescriptor_t descriptor_ = nullptr;
};

/// What plans are made for, and run on.
class CudnnTarget {
 public:
  /// The current device; runs go to `stream`, a cudaStream_t. Needs a GPU.
  static std::shared_ptr<const CudnnTarget> current_device(void* stream);
  /// A device known by cuDNN's JSON description alone; its plans cannot run.
  static std::shared_ptr<const CudnnTarget> described(const std::string& json);
  ~CudnnTarget();
  CudnnTarget(const CudnnTarget&) = delete;
  CudnnTarget& operator=(const CudnnTarget&) = delete;

  /// Gives a descriptor the handle or the description, under the name that it has there.
  void attach_handle(CudnnDescriptor& descriptor, cudnnBackendAttributeName_t name) const;
  void attach_description(CudnnDescriptor& descriptor, cudnnBackendAttributeName_t name) const;
  /// Null if only described.
  cudnnHandle_t handle() const { return handle_; }

 private:
  CudnnTarget() = default;

  cudnnHandle_t handle_ = nullptr;
  std::unique_ptr<CudnnDescriptor> description_;
};

/// Operations and all that they refer to, as one graph for one target.
struct CudnnGraph {
  std::shared_ptr<const CudnnTarget> target;
  std::vector<CudnnDescriptor> parts;  // tensors, convolution and pointwise descriptors
  std::vector<CudnnDescriptor> operations;
  CudnnDescriptor graph{CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR};

  explicit CudnnGraph(std::shared_ptr<const CudnnTarget> for_target) : target(std::move(for_target)) {}
  /// After the last operation.
  void finalize();
};

/// An engine with its settings ("knobs"): one way to run a graph.
struct CudnnConfig {
  CudnnDescriptor engine, config;
  std::vector<CudnnDescriptor> choices;                         // what config was given; empty if the heuristic made it
  std::int64_t engine_index = 0;                                // cuDNN's number for the kernel family
  std::vector<std::pair<std::int64_t, std::int64_t>> settings;  // (knob type, value), ascending
  std::vector<cudnnBackendNumericalNote_t> notes;

  bool has(cudnnBackendNumericalNote_t note) const;
};

/// The heuristic's proposals, the one it thinks fastest first; none, and what cuDNN says in `refusal`, if it has none
/// or does not know the graph.
std::vector<CudnnDescriptor> propose(const CudnnGraph& graph, cudnnBackendHeurMode_t mode, std::string& refusal);
/// What a proposal holds.
CudnnConfig examine(CudnnDescriptor proposal);
/// The config of a known engine and settings.
CudnnConfig configure(const CudnnGraph& graph, std::int64_t engine_index,
                      const std::vector<std::pair<std::int64_t, std::int64_t>>& settings);

/// A graph and config ready to run.
class CudnnPlan {
 public:
  CudnnPlan(std::shared_ptr<const CudnnGraph> graph, CudnnConfig config);

  const CudnnConfig& config() const { return config_; }
  std::size_t workspace() const { return workspace_; }
  /// cuDNN's own description: equal for equal plans.
  std::string json() const;
  /// Puts one run on the target's stream. pointers: (unique id of the tensor, its memory on the device).
  void run(std::span<const std::pair<std::int64_t, const void*>> pointers, void* workspace) const;

 private:
  std::shared_ptr<const CudnnGraph> graph_;
  CudnnConfig config_;
  CudnnDescriptor plan_;
  std::size_t workspace_ = 0;
};

}  // namespace unet::kernels::cuda
