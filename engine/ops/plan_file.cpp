#include "engine/ops/plan_file.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"

namespace unet {
namespace {

using Json = nlohmann::ordered_json;
using kernels::ConvPass;

constexpr std::size_t kMostBytes = std::size_t{1} << 24;
constexpr std::int64_t kMostSize = std::int64_t{1} << 31;

template <class T>
T one_of(const Json& json, const char* key, std::initializer_list<std::pair<const char*, T>> words) {
  const std::string word = json.at(key).get<std::string>();
  std::string known;
  for (const auto& [name, value] : words) {
    if (word == name) return value;
    known += fmt::format("{}\"{}\"", known.empty() ? "" : ", ", name);
  }
  throw Error("{} is \"{}\", not one of {}", key, printable(word), known);
}

std::int64_t whole(const Json& json, const char* key, std::int64_t least) {
  if (!json.is_number_integer()) throw Error("{} holds {}, not a whole number", key, printable(json.dump()));
  const auto value = json.get<std::int64_t>();
  if (value < least || value > kMostSize) throw Error("{} holds {}, outside {}..{}", key, value, least, kMostSize);
  return value;
}

std::array<std::int64_t, 4> four(const Json& json, const char* key) {
  const Json& list = json.at(key);
  if (!list.is_array() || list.size() != 4) throw Error("{} is {}, not four sizes", key, printable(list.dump()));
  return {whole(list[0], key, 1), whole(list[1], key, 1), whole(list[2], key, 1), whole(list[3], key, 1)};
}

kernels::ConvCase case_of(const Json& json) {
  kernels::ConvCase c;
  c.pass = one_of<ConvPass>(json, "pass",
                            {{name_of(ConvPass::forward), ConvPass::forward},
                             {name_of(ConvPass::backward_data), ConvPass::backward_data},
                             {name_of(ConvPass::backward_weights), ConvPass::backward_weights}});
  c.dtype = one_of<Dtype>(json, "dtype", {{"f32", Dtype::f32}, {"f64", Dtype::f64}, {"bf16", Dtype::bf16}});
  c.tf32 = json.contains("tf32") && json.at("tf32").get<bool>();
  if (c.tf32 && c.dtype != Dtype::f32)
    throw Error("tf32 is true beside {}: it is a way to multiply f32", name_of(c.dtype));
  const auto x = four(json, "x"), weights = four(json, "weights");
  if (x[3] != weights[3]) throw Error("x has {} channels, weights expect {}", x[3], weights[3]);
  c.shape = {x[0], x[1], x[2], x[3], weights[0], weights[1], weights[2]};
  c.spec.stride = whole(json.at("stride"), "stride", 1);
  c.spec.pad = whole(json.at("pad"), "pad", 0);
  c.spec.bias = json.at("bias").get<bool>();
  c.spec.relu = json.at("relu").get<bool>();
  c.spec.residual = json.contains("residual") && json.at("residual").get<bool>();
  return c;
}

PlanChoice choice_of(const Json& json) {
  if (!json.is_object()) throw Error("it is no object");
  static const std::initializer_list<const char*> keys{
      "pass", "device", "machine", "dtype", "tf32", "x", "weights", "stride", "pad", "bias", "residual", "relu", "id"};
  for (const auto& [key, value] : json.items()) {
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) throw Error("\"{}\" is unknown", printable(key));
  }
  PlanChoice c;
  c.of = case_of(json);
  c.device = one_of<Device>(json, "device", {{"cpu", Device{}}, {"cuda", kCuda}});
  c.machine = json.at("machine").get<std::string>();
  c.id = json.at("id").get<std::string>();
  return c;
}

}  // namespace

std::string plans_text(const std::vector<PlanChoice>& choices) {
  // A choice a line: to be read and compared by people too.
  std::string out = "{\"version\": 1, \"plans\": [";
  for (const PlanChoice& c : choices) {
    const auto& [pass, spec, s, dtype, tf32] = c.of;
    const Json json = {{"pass", name_of(pass)},
                       {"device", c.device.str()},
                       {"machine", c.machine},
                       {"dtype", kernels::name_of(dtype)},
                       {"tf32", tf32},
                       {"x", {s.N, s.H, s.W, s.Cin}},
                       {"weights", {s.Cout, s.Kh, s.Kw, s.Cin}},
                       {"stride", spec.stride},
                       {"pad", spec.pad},
                       {"bias", spec.bias},
                       {"residual", spec.residual},
                       {"relu", spec.relu},
                       {"id", c.id}};
    out += (out.back() == '[' ? "\n  " : ",\n  ") + json.dump();
  }
  return out + "\n]}\n";
}

std::vector<PlanChoice> parse_plans(std::string_view text, const std::string& source) {
  try {
    const Json json = Json::parse(text);
    if (whole(json.at("version"), "version", 1) != 1)
      throw Error("version {} is unknown", printable(json.at("version").dump()));
    std::vector<PlanChoice> out;
    std::map<std::string, std::size_t> known;  // what a choice is for, and its number
    for (const Json& plan : json.at("plans")) {
      try {
        out.push_back(choice_of(plan));
      } catch (const std::exception& error) {
        throw Error("plan {}: {}", out.size() + 1, error.what());
      }
      PlanChoice of = out.back();
      of.id = of.machine = "";
      const auto [at, fresh] = known.emplace(plans_text({of}), out.size());
      if (!fresh) throw Error("plans {} and {} are for the same convolution", at->second, out.size());
    }
    return out;
  } catch (const Json::exception& error) {  // quotes what it read, whatever its length
    throw Error("{}: no choice of convolutions: {}", source, printable(error.what()));
  } catch (const std::exception& error) {
    throw Error("{}: no choice of convolutions: {}", source, error.what());
  }
}

std::vector<PlanChoice> read_plans(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text;
  if (!file || std::filesystem::is_directory(path)) throw Error("{}: cannot be read", path.string());
  char block[4096];
  while (file.read(block, sizeof block), file.gcount() > 0) {
    text.append(block, static_cast<std::size_t>(file.gcount()));
    if (text.size() > kMostBytes)
      throw Error("{}: larger than {} bytes: no choice of convolutions", path.string(), kMostBytes);
  }
  return parse_plans(text, path.string());
}

}  // namespace unet
