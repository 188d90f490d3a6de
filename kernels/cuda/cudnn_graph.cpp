#include "kernels/cuda/cudnn_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <stdexcept>

#include "kernels/cuda/libraries.h"

namespace unet::kernels::cuda {
namespace {

/// The entry points that are used, found once.
struct Api {
  decltype(cudnnGetErrorString)* error_string;
  decltype(cudnnGetLastErrorString)* last_error;
  decltype(cudnnCreate)* create_handle;
  decltype(cudnnDestroy)* destroy_handle;
  decltype(cudnnSetStream)* set_stream;
  decltype(cudnnBackendCreateDescriptor)* create;
  decltype(cudnnBackendDestroyDescriptor)* destroy;
  decltype(cudnnBackendFinalize)* finalize;
  decltype(cudnnBackendSetAttribute)* set_attribute;
  decltype(cudnnBackendGetAttribute)* get_attribute;
  decltype(cudnnBackendExecute)* execute;
};

template <class Function>
void find(const Library& library, const char* name, Function*& function) {
  function = library.function<Function>(name);
}

const Api& api() {
  static const Api known = [] {
    const Library& library = cudnn_library();
    Api out{};
    find(library, "cudnnGetErrorString", out.error_string);
    find(library, "cudnnGetLastErrorString", out.last_error);
    find(library, "cudnnCreate", out.create_handle);
    find(library, "cudnnDestroy", out.destroy_handle);
    find(library, "cudnnSetStream", out.set_stream);
    find(library, "cudnnBackendCreateDescriptor", out.create);
    find(library, "cudnnBackendDestroyDescriptor", out.destroy);
    find(library, "cudnnBackendFinalize", out.finalize);
    find(library, "cudnnBackendSetAttribute", out.set_attribute);
    find(library, "cudnnBackendGetAttribute", out.get_attribute);
    find(library, "cudnnBackendExecute", out.execute);
    return out;
  }();
  return known;
}

void check(cudnnStatus_t status, const std::string& doing) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  std::array<char, 1024> message{};
  api().last_error(message.data(), message.size());
  throw std::runtime_error(
      fmt::format("cuDNN {}, {}: {} {}", cudnn_version(), doing, api().error_string(status), message.data()));
}

}  // namespace

CudnnDescriptor::CudnnDescriptor(cudnnBackendDescriptorType_t type) {
  check(api().create(type, &descriptor_), fmt::format("making a descriptor of type {}", static_cast<int>(type)));
}

CudnnDescriptor::~CudnnDescriptor() {
  if (descriptor_ != nullptr) api().destroy(descriptor_);
}

void CudnnDescriptor::set_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
                              const void* values) {
  check(api().set_attribute(descriptor_, name, type, count, values),
        fmt::format("setting attribute {}", static_cast<int>(name)));
}

void CudnnDescriptor::set_all(cudnnBackendAttributeName_t name, std::span<const CudnnDescriptor> values) {
  std::vector<cudnnBackendDescriptor_t> raw;
  for (const CudnnDescriptor& value : values) raw.push_back(value.descriptor_);
  set_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<std::int64_t>(raw.size()), raw.data());
}

void CudnnDescriptor::finalize() { check(api().finalize(descriptor_), "finalizing a descriptor"); }

std::int64_t CudnnDescriptor::get_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                                      std::int64_t count, void* values) const {
  std::int64_t found = 0;
  check(api().get_attribute(descriptor_, name, type, count, &found, values),
        fmt::format("reading attribute {}", static_cast<int>(name)));
  return found;
}

std::int64_t CudnnDescriptor::count(cudnnBackendAttributeName_t name) const {
  return get_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, nullptr);
}

std::vector<CudnnDescriptor> CudnnDescriptor::get_descriptors(cudnnBackendAttributeName_t name,
                                                              cudnnBackendDescriptorType_t type,
                                                              std::int64_t most) const {
  std::vector<CudnnDescriptor> out;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (std::int64_t i = 0; i < most; ++i) raw.push_back(out.emplace_back(type).descriptor_);
  const std::int64_t found = get_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, raw.data());
  out.erase(out.begin() + std::min(found, most), out.end());
  return out;
}

// ---- target --------------------------------------------------------------------------------------------------------

std::shared_ptr<const CudnnTarget> CudnnTarget::current_device(void* stream) {
  const std::shared_ptr<CudnnTarget> target(new CudnnTarget());
  check(api().create_handle(&target->handle_), "opening the current device");
  check(api().set_stream(target->handle_, static_cast<cudaStream_t>(stream)), "setting the stream");
  return target;
}

std::shared_ptr<const CudnnTarget> CudnnTarget::described(const std::string& json) {
  const std::shared_ptr<CudnnTarget> target(new CudnnTarget());
  target->description_ = std::make_unique<CudnnDescriptor>(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  target->description_->set_all(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, std::span<const char>(json));
  target->description_->finalize();
  return target;
}

CudnnTarget::~CudnnTarget() {
  if (handle_ != nullptr) api().destroy_handle(handle_);
}

void CudnnTarget::attach_handle(CudnnDescriptor& descriptor, cudnnBackendAttributeName_t name) const {
  if (handle_ != nullptr) descriptor.set(name, handle_);
}

void CudnnTarget::attach_description(CudnnDescriptor& descriptor, cudnnBackendAttributeName_t name) const {
  if (description_) descriptor.set(name, *description_);
}

// ---- graph, configs, plan -------------------------------------------------------------------------------------------

void CudnnGraph::finalize() {
  graph.set_all(CUDNN_ATTR_OPERATIONGRAPH_OPS, std::span<const CudnnDescriptor>(operations));
  target->attach_handle(graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE);
  graph.finalize();
}

bool CudnnConfig::has(cudnnBackendNumericalNote_t note) const {
  return std::find(notes.begin(), notes.end(), note) != notes.end();
}

std::vector<CudnnDescriptor> propose(const CudnnGraph& graph, cudnnBackendHeurMode_t mode, std::string& refusal) {
  CudnnDescriptor heuristic(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristic.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph.graph);
  heuristic.set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
  graph.target->attach_description(heuristic, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP);
  try {
    heuristic.finalize();
  } catch (const std::runtime_error& error) {
    refusal = error.what();  // "not supported": this heuristic has nothing for the graph; or cuDNN is broken
    return {};
  }
  const std::int64_t count = heuristic.count(CUDNN_ATTR_ENGINEHEUR_RESULTS);
  return heuristic.get_descriptors(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, count);
}

CudnnConfig examine(CudnnDescriptor proposal) {
  auto engines = proposal.get_descriptors(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
  CudnnConfig out{std::move(engines.at(0)), std::move(proposal), {}, 0, {}, {}};
  out.engine_index = out.engine.get<std::int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
  out.notes = out.engine.get_all<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE);
  for (const CudnnDescriptor& choice : out.config.get_descriptors(
           CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, CUDNN_KNOB_TYPE_COUNTS)) {
    out.settings.emplace_back(choice.get<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE),
                              choice.get<std::int64_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE));
  }
  std::sort(out.settings.begin(), out.settings.end());
  return out;
}

CudnnConfig configure(const CudnnGraph& graph, std::int64_t engine_index,
                      const std::vector<std::pair<std::int64_t, std::int64_t>>& settings) {
  CudnnConfig out{CudnnDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR),
                  CudnnDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR),
                  {},
                  engine_index,
                  settings,
                  {}};
  out.engine.set(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph.graph);
  out.engine.set(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, engine_index);
  graph.target->attach_description(out.engine, CUDNN_ATTR_ENGINE_DEVICEPROP);
  out.engine.finalize();
  out.notes = out.engine.get_all<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE);
  for (const auto& [type, value] : settings) {
    CudnnDescriptor& choice = out.choices.emplace_back(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
    choice.set(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, static_cast<cudnnBackendKnobType_t>(type));
    choice.set(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, value);
    choice.finalize();
  }
  out.config.set(CUDNN_ATTR_ENGINECFG_ENGINE, out.engine);
  out.config.set_all(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, std::span<const CudnnDescriptor>(out.choices));
  out.config.finalize();
  return out;
}

CudnnPlan::CudnnPlan(std::shared_ptr<const CudnnGraph> graph, CudnnConfig config)
    : graph_(std::move(graph)), config_(std::move(config)), plan_(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
  graph_->target->attach_handle(plan_, CUDNN_ATTR_EXECUTION_PLAN_HANDLE);
  graph_->target->attach_description(plan_, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP);
  plan_.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config_.config);
  plan_.finalize();
  workspace_ = static_cast<std::size_t>(plan_.get<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE));
}

std::string CudnnPlan::json() const {
  const std::vector<char> text = plan_.get_all<char>(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION);
  return std::string(text.begin(), std::find(text.begin(), text.end(), '\0'));
}

void CudnnPlan::run(std::span<const std::pair<std::int64_t, const void*>> pointers, void* workspace) const {
  std::vector<std::int64_t> ids;
  std::vector<void*> addresses;
  for (const auto& [id, address] : pointers) {
    ids.push_back(id);
    addresses.push_back(const_cast<void*>(address));  // the API has one type for what is read and what is written
  }
  CudnnDescriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set_all(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, std::span<const std::int64_t>(ids));
  pack.set_all(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, std::span<void* const>(addresses));
  pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, workspace);
  pack.finalize();
  check(api().execute(graph_->target->handle(), plan_.raw(), pack.raw()),
        fmt::format("running engine {}", config_.engine_index));
}

}  // namespace unet::kernels::cuda
