// Segments photographs: for each a mask PNG and an overlay, at the photograph's own size. One thread reads ahead and
// one writes, while this one computes.
#include <algorithm>
#include <array>
#include <numeric>
#include <thread>

#include "apps/options.h"
#include "apps/programs.h"
#include "apps/run/data_options.h"
#include "apps/run/failure.h"
#include "apps/run/full_size.h"
#include "apps/run/inference.h"
#include "apps/run/memory.h"
#include "apps/run/outputs.h"
#include "apps/run/overlay.h"
#include "apps/run/overlay_file.h"
#include "apps/run/plan_cache.h"
#include "apps/run/predict_files.h"
#include "apps/run/progress.h"
#include "apps/run/queue.h"
#include "apps/run/room.h"
#include "apps/run/screen.h"
#include "apps/run/signals.h"
#include "apps/run/tiles.h"
#include "apps/run/weights.h"
#include "engine/core/error.h"
#include "engine/core/stopwatch.h"
#include "engine/data/resize.h"

namespace unet {
namespace {

namespace fs = std::filesystem;

/// How photographs are looked at.
struct Look {
  MapShape map;  // of the network's answer
  bool tiles;    // of that size at the photograph's own scale, instead of the whole photograph at that size
  Exif exif;
  Background background;
};

/// A photograph on its way from the reader by the network to the writer.
struct Picture {
  const PredictFile* file = nullptr;
  std::size_t room = 0;              // that it has taken
  Image photo, small;                // small: at the network's size; not of tiles
  std::vector<float> probabilities;  // [height,width,classes] at the network's size; not of tiles
  Image mask;                        // the labels [height,width] of tiles
  std::string fault;                 // why it cannot be predicted
};
using Pictures = Queue<Picture>;

std::string with(const fs::path& base, const std::string& ending) { return base.string() + ending; }
std::string plane_name(const fs::path& base, std::int64_t c) { return with(base, fmt::format("_prob_{}.png", c)); }

std::string describe(const std::vector<std::uint8_t>& labels, const std::vector<std::string>& names,
                     bool has_background) {
  std::array<std::int64_t, 256> pixels{};
  for (const std::uint8_t label : labels) ++pixels[label];
  const auto percent = [&](std::int64_t n) {
    return 100.0 * static_cast<double>(n) / static_cast<double>(labels.size());
  };
  if (names.size() <= 2 && has_background) return fmt::format("{:.1f} % foreground", percent(pixels[1]));
  std::vector<std::size_t> order(names.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return pixels[a] > pixels[b]; });
  std::string out;
  for (std::size_t i = 0; i < std::min<std::size_t>(3, order.size()); ++i) {
    const std::int64_t n = pixels[order[i]];
    if (n > 0) out += fmt::format("{}{} {:.1f} %", i == 0 ? "" : ", ", class_title(names, order[i]), percent(n));
  }
  return out;
}

/// Makes and writes the results of one picture; the writer's work.
class Writer {
 public:
  Writer(const PredictOptions& options, const models::Description& checkpoint, const Look& look)
      : options_(options),
        background_(look.background),
        names_(class_names(checkpoint.class_map, static_cast<int>(look.map.classes))),
        look_(look) {}

  std::vector<std::string> outputs_of(const fs::path& base) const {
    std::vector<std::string> out{with(base, "_mask.png")};
    if (options_.overlay) out.push_back(with(base, "_overlay.png"));
    for (std::int64_t c = 0; options_.probabilities && c < look_.map.classes; ++c) out.push_back(plane_name(base, c));
    return out;
  }

  /// Returns what the mask holds.
  std::string write(Picture& picture) const {
    const fs::path& base = picture.file->base;
    make_folder(base.parent_path());
    Image& mask = picture.mask;
    if (!look_.tiles) mask = write_whole(picture);
    std::string text = describe(mask.pixels, names_, background_ == Background::class0);
    if (options_.overlay && !look_.tiles) {
      write_picture(with(base, "_overlay.png"), tint(picture.photo, mask.pixels.data(), background_));
    }
    if (look_.map.classes <= 2) {  // 0 and 255, as viewers show it
      for (std::uint8_t& label : mask.pixels) label = static_cast<std::uint8_t>(255 * label);
      write_picture(with(base, "_mask.png"), mask);
    } else {
      write_picture(with(base, "_mask.png"), mask, class_palette(static_cast<int>(look_.map.classes)));
    }
    return text;
  }

 private:
  /// The probabilities, if they are wanted; returns the labels.
  Image write_whole(const Picture& picture) const {
    const Image& photo = picture.photo;
    const float* p = picture.probabilities.data();
    for (std::int64_t c = 0; options_.probabilities && c < look_.map.classes; ++c) {
      write_picture(plane_name(picture.file->base, c), photo.width, photo.height,
                    plane_at_size(p, look_.map, c, photo.height, photo.width));
    }
    Image mask(photo.width, photo.height, 1);
    mask.pixels = labels_at_size(p, look_.map, photo.height, photo.width, options_.threshold);
    return mask;
  }

  const PredictOptions& options_;
  const Background background_;
  const std::vector<std::string> names_;
  const Look look_;
};

/// Bytes of a photograph and its mask.
std::size_t bytes_of(const fs::path& photo) {
  const ImageSize size = read_image_head(photo).size;
  return 4 * static_cast<std::size_t>(size.width) * static_cast<std::size_t>(size.height);
}

void read_ahead(const std::vector<PredictFile>& files, const Look& look, Room& room, Pictures& out) {
  for (const PredictFile& file : files) {
    if (stop_signal() != 0) break;
    Picture picture;
    picture.file = &file;
    try {
      const std::size_t bytes = bytes_of(file.input);
      if (!room.take(bytes)) break;
      picture.room = bytes;
      picture.photo = to_rgb(load_image(file.input, look.exif));
      if (!look.tiles) {
        picture.small =
            resize_bilinear(picture.photo, static_cast<int>(look.map.width), static_cast<int>(look.map.height));
      }
    } catch (const std::exception& error) {
      picture.photo = Image();
      picture.fault = failure_text(error);
    }
    const std::size_t bytes = picture.photo.pixels.size() + picture.small.pixels.size();
    if (!out.push(std::move(picture), bytes)) break;
  }
  out.close();
}

/// The photograph's labels and, written row by row, its overlay and planes, if they are wanted. False after a stop
/// signal.
bool predict_by_tiles(Predictor& predictor, const PredictOptions& options, const Look& look, Picture& picture) {
  const Image& photo = picture.photo;
  const fs::path& base = picture.file->base;
  const std::int64_t C = look.map.classes;
  picture.mask = Image(photo.width, photo.height, 1);
  make_folder(base.parent_path());
  std::optional<OverlayFile> overlay;
  if (options.overlay) overlay.emplace(with(base, "_overlay.png"), photo, picture.mask, look.background);
  std::vector<std::unique_ptr<PngWriter>> planes;
  for (std::int64_t c = 0; options.probabilities && c < C; ++c) {
    planes.push_back(std::make_unique<PngWriter>(plane_name(base, c), ImageSize{photo.width, photo.height}, 1, 16,
                                                 picture_options()));
  }
  const auto take_rows = [&](int y, int count, const float* p) {
    const std::int64_t pixels = std::int64_t{count} * photo.width;
    put_labels(p, pixels, C, options.threshold, picture.mask.row(y));
    for (std::int64_t c = 0; c < static_cast<std::int64_t>(planes.size()); ++c) {
      planes[static_cast<std::size_t>(c)]->rows(plane_of(p, pixels, C, c));
    }
    if (overlay) overlay->labels_are_there(y + count);
  };
  if (!predict_tiles(predictor, photo, {look.map.height, look.map.width}, picture.file->input.string(), take_rows,
                     [] { return stop_signal() != 0; })) {
    return false;
  }
  if (overlay) overlay->commit();
  for (const std::unique_ptr<PngWriter>& plane : planes) plane->commit();
  return true;
}

/// What the writer has done, to be looked at when it has ended.
struct Outcome {
  std::int64_t written = 0;
  std::vector<std::string> faults;  // of pictures
  std::exception_ptr failure;       // of writing, which ends the run
};

void write_behind(Pictures& in, const Writer& writer, Room& room, std::int64_t total, Outcome& outcome) {
  Progress progress("predict", total, false);
  std::int64_t done = 0;
  try {
    while (std::optional<Picture> picture = in.pop()) {
      std::string text = "not predicted";
      if (picture->fault.empty()) {
        text = writer.write(*picture) + " -> " + with(picture->file->base, "_mask.png");
        ++outcome.written;
      } else {
        outcome.faults.push_back(picture->fault);
      }
      progress.clear();
      say("{}: {}\n", picture->file->input.string(), text);
      progress.update(++done);
      const std::size_t bytes = picture->room;
      picture.reset();
      room.give_back(bytes);
    }
  } catch (...) {
    outcome.failure = std::current_exception();
    in.abandon();
    room.close();
  }
}

/// The pipeline; in the middle of it, this thread computes.
Outcome predict(models::Segmenter& model, const PredictOptions& options, const std::vector<PredictFile>& files,
                const Look& look, const Writer& writer) {
  constexpr std::size_t most_items = 8, most_bytes = std::size_t{128} << 20;
  Room room(2 * most_bytes);  // of photographs and masks: large ones go one by one
  Pictures read(most_items, most_bytes), computed(most_items, most_bytes);
  Outcome outcome;
  std::exception_ptr failure;  // of this thread
  {
    std::jthread reader([&] { read_ahead(files, look, room, read); });
    std::jthread writing(
        [&] { write_behind(computed, writer, room, static_cast<std::int64_t>(files.size()), outcome); });
    struct Ends {  // however this thread leaves, the two others end
      Room& room;
      Pictures &read, &computed;
      ~Ends() {
        room.close();
        read.abandon();
        computed.close();
      }
    } const ends{room, read, computed};
    FiniteCheck check(model, options.checkpoint);
    Predictor predictor(model, options.tta, &check);
    try {
      while (std::optional<Picture> picture = read.pop()) {
        if (stop_signal() != 0) break;
        if (picture->fault.empty() && look.tiles) {
          if (!predict_by_tiles(predictor, options, look, *picture)) break;
        } else if (picture->fault.empty()) {
          picture->probabilities = predictor(picture->small, picture->file->input.string());
          picture->small = Image();
        }
        const std::size_t bytes =
            picture->photo.pixels.size() + picture->mask.pixels.size() + picture->probabilities.size() * sizeof(float);
        if (!computed.push(std::move(*picture), bytes)) break;
      }
    } catch (...) {
      failure = std::current_exception();
    }
  }
  if (!outcome.failure) outcome.failure = failure;
  return outcome;
}

void say_left_out(const PredictFiles& found) {
  if (found.made_here > 0) say("left out (made by this program): {}\n", found.made_here);
  if (found.others > 0) {
    say("left out (no .jpg, .jpeg or .png): {}, the first: {}\n", found.others, found.first_other.string());
  }
}

/// Throws Error if anything is not as it was asked for.
void conclude(const Outcome& outcome, const PredictFiles& found, double seconds, const std::string& output) {
  const auto total = static_cast<std::int64_t>(found.files.size());
  const auto faults = static_cast<std::int64_t>(outcome.faults.size());
  say("{} of {} images in {:.1f} s, {:.1f} images/s: {}\n", outcome.written, total, seconds,
      static_cast<double>(outcome.written) / std::max(1e-9, seconds), output);
  if (outcome.failure) std::rethrow_exception(outcome.failure);
  if (faults == 0 && found.unread.empty()) return;
  std::string text;
  for (const std::string& fault : outcome.faults) text += "\n  " + escaped(fault);
  for (const std::string& fault : found.unread) text += "\n  " + escaped(fault);
  throw Error(fmt::format("{} of {} images{} could not be read:{}", faults, total,
                          found.unread.empty() ? "" : fmt::format(" and {} folders", found.unread.size()), text));
}

void run(const PredictOptions& options, const models::Registry& registry) {
  const Machine machine = machine_of(options.machine);
  say("device: {}, {}\n", machine.text, machine.arithmetic);
  const std::unique_ptr<TensorFile> file = open_tensor_file(options.checkpoint);
  const models::Description checkpoint = describe(registry, *file, options.normalization);
  const std::int64_t C = checkpoint.spec.classes;
  if (checkpoint.spec.in_channels != 3 || C > 255) {
    throw Error("{}: the network takes {} input channels and has {} classes; 3 and at most 255 are expected",
                options.checkpoint, checkpoint.spec.in_channels, C);
  }
  if (options.threshold && checkpoint.background == Background::none) {
    throw Error("--threshold asks for a background, and {} was trained with --background none; leave --threshold out",
                options.checkpoint);
  }
  const std::optional<ImageExtent> tile = tile_of(options, checkpoint);
  const ImageExtent size = tile ? *tile : options.image_size.value_or(ImageExtent{checkpoint.height, checkpoint.width});
  const Look look{
      {size.height, size.width, C}, tile.has_value(), options.exif.value_or(checkpoint.exif), checkpoint.background};
  require_memory(options.checkpoint, registry, checkpoint.spec, machine, 1, size, tile ? "--tile" : "--image-size");
  const PredictFiles found = find_pictures(options.inputs, options.output);
  const Writer writer(options, checkpoint, look);
  for (const PredictFile& picture : found.files) {
    for (const std::string& output : writer.outputs_of(picture.base)) require_replaceable(output);
  }
  const fs::path legend = fs::path(options.output) / "legend.png";
  const bool wants_legend = options.overlay && C > 2;
  if (wants_legend) require_replaceable(legend);
  const auto model = models::make_segmenter(registry, checkpoint.spec, 0, models::for_inference(machine));
  load_and_say(*file, *model);
  make_folder(options.output);
  if (wants_legend)
    write_picture(legend, legend_of(class_names(checkpoint.class_map, static_cast<int>(C)), checkpoint.background));
  say_left_out(found);
  if (look.tiles) say("images at their own sizes, in tiles of {}\n", size.str());

  const Stopwatch watch;
  const Outcome outcome = predict(*model, options, found.files, look, writer);
  keep_plans();
  conclude(outcome, found, watch.seconds(), options.output);
}

}  // namespace

int predict_unet(int argc, char** argv, const models::Registry& registry) {
  begin_program();
  PredictOptions options;
  try {
    if (const std::optional<int> code = parse(argc, argv, options)) return *code;
    outlive_the_screen();
    watch_stop_signals();
    run(options, registry);
    check_screen();
  } catch (const std::exception& error) {
    return fail("predict_unet", error);
  }
  return stop_signal() == 0 ? 0 : 128 + stop_signal();
}

}  // namespace unet
