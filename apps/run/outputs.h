// What the programs write, and what they must not write over.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/io/png_writer.h"

namespace unet {

/// "-", or another name of the program's standard output: /dev/stdout, the file it was led to.
bool is_standard_output(const std::string& path);

/// Throws Error naming the option if `output` is one of the inputs, or lies in one that is a folder, by whatever name
/// or link. What does not exist is no input.
void require_no_input(const std::string& option, const std::filesystem::path& output,
                      const std::vector<std::filesystem::path>& inputs);

/// Throws Error naming the folder and the system's reason.
void make_folder(const std::filesystem::path& folder);

/// A PNG with a mark by which is_our_picture knows it.
void write_picture(const std::filesystem::path& path, const Image& image, std::vector<Rgb> palette = {});
void write_picture(const std::filesystem::path& path, int width, int height, const std::vector<std::uint16_t>& values);
/// What makes is_our_picture know a picture that is written row by row (PngWriter).
PngOptions picture_options(std::vector<Rgb> palette = {});
bool is_our_picture(const std::filesystem::path& path);
/// Throws Error if something is there that write_picture has not written.
void require_replaceable(const std::filesystem::path& path);

}  // namespace unet
