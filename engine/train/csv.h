// CSV files with fixed columns that grow a row at a time. A row is a line, written by one call when it is complete, so
// that a reader of a running job sees whole rows; numbers have the fewest digits that read back to the same value, so
// that two equal runs write equal files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace unet {

// One value as text.
class CsvCell {
 public:
  CsvCell(double value);
  CsvCell(float value);
  CsvCell(int value);
  CsvCell(std::int64_t value);
  CsvCell(std::uint64_t value);
  // Quoted where it holds a comma or a quote. Throws unet::Error on a line break.
  CsvCell(std::string_view value);
  CsvCell(const char* value) : CsvCell(std::string_view(value)) {}
  CsvCell(const std::string& value) : CsvCell(std::string_view(value)) {}

  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

class CsvFile {
 public:
  // A new file with its header; an old one is lost.
  static CsvFile create(const std::filesystem::path& path, const std::vector<std::string>& columns);
  // The same onto standard output.
  static CsvFile on_standard_output(const std::vector<std::string>& columns);
  // The file as it was after its first `rows` rows, to be continued: later rows, and a last one that is incomplete, are
  // cut off. With 0 rows the same as create. Throws unet::Error if the file has other columns or fewer rows.
  static CsvFile resume(const std::filesystem::path& path, const std::vector<std::string>& columns, std::uint64_t rows);

  CsvFile(CsvFile&& other) noexcept;
  CsvFile& operator=(CsvFile&& other) noexcept;
  ~CsvFile();

  // Throws unet::Error if the number of cells differs from the number of columns, or on an error of the disk.
  void row(const std::vector<CsvCell>& cells);
  // After this the rows survive a power cut: to be called before a checkpoint that counts on them is written.
  void sync();
  // Writing is complete and checked. The destructor closes too, but cannot report.
  void close();

  std::uint64_t rows() const { return rows_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  CsvFile(std::filesystem::path path, int descriptor, std::size_t columns, std::uint64_t rows);
  static CsvFile begin(const std::filesystem::path& path, int descriptor, const std::vector<std::string>& columns);

  std::filesystem::path path_;
  int descriptor_ = -1;
  std::size_t columns_ = 0;
  std::uint64_t rows_ = 0;
};

struct CsvTable {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;  // each as long as columns
  // Index of a column. Throws unet::Error if there is none of this name.
  std::size_t column(std::string_view name) const;
};

// All complete rows. Throws unet::Error naming the line that does not fit.
CsvTable read_csv(const std::filesystem::path& path);

}  // namespace unet
