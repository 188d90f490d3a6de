#include "engine/train/csv.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <system_error>
#include <utility>

#include "engine/core/error.h"
#include "engine/train/durable_file.h"

namespace unet {
namespace {

template <class Number>
std::string shortest(Number value) {
  char buffer[64];
  return std::string(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

std::string line_of(const std::vector<CsvCell>& cells) {
  std::string line;
  for (const CsvCell& cell : cells) line += cell.text() + ",";
  line.back() = '\n';
  return line;
}

std::ifstream open_for_reading(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error("cannot open \"{}\": {}", path.string(), std::generic_category().message(errno));
  return file;
}

// False at the end of the file, and for a last line without its line break: its writer was killed.
bool whole_line(std::ifstream& file, std::string& line) { return std::getline(file, line) && !file.eof(); }

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '"') {
      // Inside quotes a pair of them stands for one.
      if (quoted && i + 1 < line.size() && line[i + 1] == '"') {
        cells.back() += line[++i];
      } else {
        quoted = !quoted;
      }
    } else if (c == ',' && !quoted) {
      cells.emplace_back();
    } else {
      cells.back() += c;
    }
  }
  return cells;
}

}  // namespace

CsvCell::CsvCell(double value) : text_(shortest(value)) {}
CsvCell::CsvCell(float value) : text_(shortest(value)) {}
CsvCell::CsvCell(int value) : text_(shortest(value)) {}
CsvCell::CsvCell(std::int64_t value) : text_(shortest(value)) {}
CsvCell::CsvCell(std::uint64_t value) : text_(shortest(value)) {}

CsvCell::CsvCell(std::string_view value) : text_(value) {
  if (value.find_first_of("\r\n") != std::string_view::npos)
    throw Error("a CSV cell may not hold a line break: {}", value);
  if (value.find_first_of(",\"") == std::string_view::npos) return;
  text_.assign(1, '"');
  for (const char c : value) text_.append(c == '"' ? 2 : 1, c);
  text_ += '"';
}

CsvFile::CsvFile(std::filesystem::path path, int descriptor, std::size_t columns, std::uint64_t rows)
    : path_(std::move(path)), descriptor_(descriptor), columns_(columns), rows_(rows) {}

CsvFile::CsvFile(CsvFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      columns_(other.columns_),
      rows_(other.rows_) {}

CsvFile& CsvFile::operator=(CsvFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(columns_, other.columns_);
  std::swap(rows_, other.rows_);
  return *this;
}

CsvFile::~CsvFile() {
  if (descriptor_ >= 0) file_calls().close(descriptor_);
}

CsvFile CsvFile::create(const std::filesystem::path& path, const std::vector<std::string>& columns) {
  return begin(path, open_for_writing(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND), columns);
}

CsvFile CsvFile::on_standard_output(const std::vector<std::string>& columns) {
  const int copy = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) throw Error("cannot write to standard output: {}", std::generic_category().message(errno));
  return begin("standard output", copy, columns);
}

CsvFile CsvFile::begin(const std::filesystem::path& path, int descriptor, const std::vector<std::string>& columns) {
  CsvFile file(path, descriptor, columns.size(), 0);
  const std::string header = line_of({columns.begin(), columns.end()});
  write_all(file.descriptor_, path, header.data(), header.size(), header.size());
  return file;
}

CsvFile CsvFile::resume(const std::filesystem::path& path, const std::vector<std::string>& columns,
                        std::uint64_t rows) {
  if (rows == 0) return create(path, columns);
  std::ifstream old = open_for_reading(path);
  std::string line;
  const std::string header = line_of({columns.begin(), columns.end()});
  if (!whole_line(old, line) || line + "\n" != header) {
    throw Error("\"{}\" has other columns than this run writes: expected {}", path.string(),
                header.substr(0, header.size() - 1));
  }
  std::uint64_t bytes = header.size();
  for (std::uint64_t row = 0; row < rows; ++row) {
    if (!whole_line(old, line)) {
      throw Error("\"{}\" has {} whole rows, but the checkpoint was written after {}", path.string(), row, rows);
    }
    bytes += line.size() + 1;
  }
  CsvFile file(path, open_for_writing(path, O_WRONLY | O_APPEND), columns.size(), rows);
  // A cut that cuts nothing would still be a change to whoever looks at the file's time.
  if (std::filesystem::file_size(path) != bytes &&
      file_calls().ftruncate(file.descriptor_, static_cast<off_t>(bytes)) != 0) {
    throw Error("cannot cut \"{}\" to {} rows: {}", path.string(), rows, std::generic_category().message(errno));
  }
  return file;
}

void CsvFile::row(const std::vector<CsvCell>& cells) {
  if (cells.size() != columns_) {
    throw Error("a row of {} cells for the {} columns of \"{}\"", cells.size(), columns_, path_.string());
  }
  const std::string line = line_of(cells);
  write_all(descriptor_, path_, line.data(), line.size(), line.size());
  ++rows_;
}

void CsvFile::sync() { sync_file(descriptor_, path_); }

void CsvFile::close() {
  if (descriptor_ >= 0) close_file(std::exchange(descriptor_, -1), path_);
}

std::size_t CsvTable::column(std::string_view name) const {
  const auto found = std::find(columns.begin(), columns.end(), name);
  if (found == columns.end()) throw Error("the CSV file has no column \"{}\"", name);
  return static_cast<std::size_t>(found - columns.begin());
}

CsvTable read_csv(const std::filesystem::path& path) {
  std::ifstream file = open_for_reading(path);
  CsvTable table;
  std::string line;
  if (!whole_line(file, line)) throw Error("\"{}\" has no header line", path.string());
  table.columns = split(line);
  while (whole_line(file, line)) {
    table.rows.push_back(split(line));
    if (table.rows.back().size() != table.columns.size()) {
      throw Error("\"{}\" line {}: {} cells for {} columns", path.string(), table.rows.size() + 1,
                  table.rows.back().size(), table.columns.size());
    }
  }
  return table;
}

}  // namespace unet
