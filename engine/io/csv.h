// CSV files with fixed columns that grow a row at a time. A row is a line, written by one call when it is complete, so
// that a reader of a running job sees whole rows; numbers have the fewest digits that read back to the same value, so
// that two equal runs write equal files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/error.h"

namespace unet {

/// One value as text.
class CsvCell {
 public:
  CsvCell(double value);
  CsvCell(float value);
  CsvCell(int value);
  CsvCell(std::int64_t value);
  CsvCell(std::uint64_t value);
  /// Escaped as for a screen, quoted (RFC 4180) where it holds a separator or a quote. What a spreadsheet would take
  /// for a formula gets an apostrophe before it, which read_csv takes off again.
  CsvCell(std::string_view value);
  CsvCell(const char* value) : CsvCell(std::string_view(value)) {}
  CsvCell(const std::string& value) : CsvCell(std::string_view(value)) {}

  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

struct CsvTable {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;  // each as long as columns
  /// Index of a column. Throws unet::Error if there is none of this name.
  std::size_t column(std::string_view name) const;
};

/// A file does not hold the rows that it should, or not as they were written.
struct DamagedCsv : Error {
  using Error::Error;
};

/// Holds all its text (some 60 bytes a step): what another program does to the file while a run writes it costs no row.
class CsvFile {
 public:
  /// A new file with its header; an old one is lost.
  static CsvFile create(const std::filesystem::path& path, const std::vector<std::string>& columns);
  /// The same onto standard output.
  static CsvFile on_standard_output(const std::vector<std::string>& columns);
  /// Throws DamagedCsv unless the file holds these columns and at least so many whole rows of numbers; with 0 rows
  /// there is nothing that it must hold.
  static void check(const std::filesystem::path& path, const std::vector<std::string>& columns, std::uint64_t rows);
  /// The file as it was after its first `rows` rows, to be continued: later rows, and a last one that is incomplete,
  /// are cut off. With 0 rows the same as create. Throws as check does.
  static CsvFile resume(const std::filesystem::path& path, const std::vector<std::string>& columns, std::uint64_t rows);

  CsvFile(CsvFile&& other) noexcept;
  CsvFile& operator=(CsvFile&& other) noexcept;
  ~CsvFile();

  /// Throws unet::Error if the number of cells differs from the number of columns, or on an error of the disk.
  void row(const std::vector<CsvCell>& cells);
  /// Where the file of this name is no longer what was written here (deleted, replaced, shortened, edited), sets aside
  /// what is there and writes all rows anew. Returns what happened as a sentence without its end, "" if nothing did.
  std::string mend();
  /// After this the rows so far survive a power cut: to be called before a checkpoint that counts on them is written.
  /// Another thread may add rows meanwhile.
  void sync();
  /// Writing is complete and checked. The destructor closes too, but cannot report.
  void close();

  /// All rows so far, whatever became of the file.
  CsvTable table() const;
  const std::filesystem::path& path() const { return path_; }

 private:
  CsvFile(std::filesystem::path path, int descriptor, std::size_t columns);
  static CsvFile begin(const std::filesystem::path& path, int descriptor, const std::vector<std::string>& columns);
  void append(const std::string& lines);
  std::string damage() const;

  std::filesystem::path path_;
  int descriptor_ = -1;
  std::size_t columns_ = 0;
  std::string text_;
};

/// Gives what is at the path the first free name `<path>.damaged-N`, and returns that; nothing where nothing is.
std::optional<std::filesystem::path> set_aside(const std::filesystem::path& path);

/// All complete rows. Throws unet::Error naming the line that does not fit.
CsvTable read_csv(const std::filesystem::path& path);

}  // namespace unet
