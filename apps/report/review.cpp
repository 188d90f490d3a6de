#include "apps/report/review.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "engine/core/text.h"
#include "engine/io/image.h"
#include "kernels/probability_bins.h"

namespace unet {
namespace {

using Json = nlohmann::ordered_json;

constexpr auto kBins = static_cast<std::size_t>(kernels::kProbabilityBins);
constexpr std::int64_t kMostBytes = std::int64_t{64} << 20;

Json to_json(std::optional<double> value) { return value ? Json(*value) : Json(nullptr); }

void require(bool holds, const char* fault) {
  if (!holds) throw Error("{}", fault);
}

std::optional<double> share_of(const Json& json) {
  if (json.is_null()) return std::nullopt;
  const double value = json.get<double>();
  require(value >= 0 && value <= 1, "a Dice is not between 0 and 1");
  return value;
}

/// What is put into a page as it stands.
std::string uri_of(const Json& json) {
  const std::string uri = json.get<std::string>();
  constexpr std::string_view kHead = "data:image/jpeg;base64,";
  const auto is_digit = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/' ||
           c == '=';
  };
  require(uri.starts_with(kHead) && std::all_of(uri.begin() + kHead.size(), uri.end(), is_digit),
          "a picture is no JPEG in base64");
  return uri;
}

std::vector<std::int64_t> counts_of(const Json& json, std::size_t size, const char* fault) {
  auto out = json.get<std::vector<std::int64_t>>();
  require(out.size() == size && std::all_of(out.begin(), out.end(), [](std::int64_t n) { return n >= 0; }), fault);
  return out;
}

}  // namespace

std::vector<RecallPoint> recall_curve(const Review& review, std::size_t of_class) {
  const std::int64_t* others = review.bins.data() + 2 * of_class * kBins;
  const std::int64_t* own = others + kBins;
  std::int64_t truth = 0, hits = 0, claims = 0;
  for (std::size_t b = 0; b < kBins; ++b) truth += own[b];
  std::vector<RecallPoint> out;
  for (std::size_t b = kBins; truth > 0 && b-- > 0;) {
    hits += own[b];
    claims += own[b] + others[b];
    if (claims == 0) continue;
    out.push_back({static_cast<double>(b) / kernels::kProbabilityBins,
                   static_cast<double>(hits) / static_cast<double>(truth),
                   static_cast<double>(hits) / static_cast<double>(claims)});
  }
  return out;
}

double average_precision(const std::vector<RecallPoint>& curve) {
  double sum = 0, before = 0;
  for (const RecallPoint& point : curve) {
    sum += (point.recall - before) * point.precision;
    before = point.recall;
  }
  return sum;
}

std::string to_text(const Review& review) {
  Json json;
  json["phase"] = review.phase;
  json["epoch"] = review.epoch;
  json["background"] = name_of(review.background);
  json["classes"] = Json::array();
  for (const std::string& name : review.classes) json["classes"].push_back(escaped(name));
  json["confusion"] = review.confusion;
  json["probability_bins"] = review.bins;
  json["images"] = Json::array();
  for (const auto& [name, dice] : review.images) {
    json["images"].push_back({{"name", escaped(name)}, {"dice", to_json(dice)}});
  }
  json["pictures"] = Json::array();
  for (const ReviewedPicture& p : review.pictures) {
    json["pictures"].push_back({{"role", p.role},
                                {"name", escaped(p.name)},
                                {"dice", to_json(p.dice)},
                                {"photo", p.photo},
                                {"truth", p.truth},
                                {"prediction", p.prediction},
                                {"errors", p.errors}});
  }
  json["training_batch"] = review.batch;
  return json.dump(1) + "\n";
}

Review parse_review(const std::string& text) {
  try {
    const Json json = Json::parse(text);
    Review out;
    out.phase = json.at("phase").get<int>();
    out.epoch = json.at("epoch").get<std::int64_t>();
    const std::string background = json.at("background").get<std::string>();
    require(background == "0" || background == "none", "its background is neither 0 nor none");
    out.background = background == "0" ? Background::class0 : Background::none;
    out.classes = json.at("classes").get<std::vector<std::string>>();
    const std::size_t classes = out.classes.size();
    require(classes >= 1 && classes <= 256, "it has no classes, or more than 256");
    out.confusion = counts_of(json.at("confusion"), classes * classes, "the confusion is not one of its classes");
    out.bins = counts_of(json.at("probability_bins"), classes * 2 * kBins, "the bins are not those of its classes");
    for (const Json& image : json.at("images")) {
      out.images.push_back({image.at("name").get<std::string>(), share_of(image.at("dice"))});
    }
    for (const Json& p : json.at("pictures")) {
      out.pictures.push_back({p.at("role").get<std::string>(), p.at("name").get<std::string>(), share_of(p.at("dice")),
                              uri_of(p.at("photo")), uri_of(p.at("truth")), uri_of(p.at("prediction")),
                              uri_of(p.at("errors"))});
    }
    for (const Json& picture : json.at("training_batch")) out.batch.push_back(uri_of(picture));
    return out;
  } catch (const std::exception& error) {
    throw Error("no review that this program wrote: {}", printable(error.what()));
  }
}

std::optional<Review> review_in(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kReviewFile;
  if (!std::filesystem::exists(path)) return std::nullopt;
  const std::vector<std::uint8_t> bytes = read_file(path, kMostBytes);
  try {
    return parse_review({bytes.begin(), bytes.end()});
  } catch (const Error& error) {
    throw Error("{}: {}", path.string(), error.what());
  }
}

}  // namespace unet
