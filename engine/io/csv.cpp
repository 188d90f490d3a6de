#include "engine/io/csv.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <system_error>
#include <utility>

#include "engine/io/durable_file.h"

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

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error("cannot open \"{}\": {}", path.string(), std::generic_category().message(errno));
  std::string text;
  char block[4096];
  while (file.read(block, sizeof block), file.gcount() > 0) {
    text.append(block, static_cast<std::size_t>(file.gcount()));
  }
  if (file.bad()) throw Error("cannot read \"{}\": {}", path.string(), std::generic_category().message(errno));
  return text;
}

/// Takes the next line off the front of `rest`. False at the end, and for a last line without its line break: its
/// writer was killed.
bool take_line(std::string_view& rest, std::string_view& line) {
  const std::size_t end = rest.find('\n');
  if (end == rest.npos) return false;
  line = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return true;
}

/// Whether a spreadsheet would take the text for a formula.
bool is_formula(std::string_view text) {
  const std::size_t first = text.find_first_not_of("' ");
  return first != text.npos && std::string_view("=+-@").find(text[first]) != std::string_view::npos;
}

std::vector<std::string> split(std::string_view line) {
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
  for (std::string& cell : cells) {
    if (cell.starts_with('\'') && is_formula(cell)) cell.erase(0, 1);
  }
  return cells;
}

bool is_number_or_empty(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return text.empty() || (error != std::errc::invalid_argument && end == text.data() + text.size());
}

/// The header and the first `rows` rows, all numbers, as they stand in the file. Throws DamagedCsv where they do not.
std::string vouched_text(const std::filesystem::path& path, const std::string& header, std::uint64_t rows) {
  if (!std::filesystem::is_regular_file(path)) {
    throw DamagedCsv("\"{}\" is not there as a file, but the state counts {} rows of it", path.string(), rows);
  }
  std::string text = text_of(path);
  std::string_view rest = text, line;
  if (!take_line(rest, line) || fmt::format("{}\n", line) != header) {
    throw DamagedCsv("\"{}\" has other columns than this run writes: \"{}\", expected {}", path.string(),
                     printable(line), header.substr(0, header.size() - 1));
  }
  const std::size_t columns = split(line).size();
  for (std::uint64_t row = 0; row < rows; ++row) {
    if (!take_line(rest, line)) {
      throw DamagedCsv("\"{}\" has {} whole rows, but the checkpoint was written after {}", path.string(), row, rows);
    }
    const std::vector<std::string> cells = split(line);
    if (cells.size() != columns) {
      throw DamagedCsv("\"{}\" line {}: {} cells for {} columns", path.string(), row + 2, cells.size(), columns);
    }
    for (const std::string& cell : cells) {
      if (is_number_or_empty(cell)) continue;
      throw DamagedCsv("\"{}\" line {}: \"{}\" is no number", path.string(), row + 2, printable(cell));
    }
  }
  text.resize(text.size() - rest.size());
  return text;
}

CsvTable table_of(std::string_view text, const std::filesystem::path& path) {
  CsvTable table;
  std::string_view line;
  if (!take_line(text, line)) throw Error("\"{}\" has no header line", path.string());
  table.columns = split(line);
  while (take_line(text, line)) {
    table.rows.push_back(split(line));
    if (table.rows.back().size() != table.columns.size()) {
      throw Error("\"{}\" line {}: {} cells for {} columns", path.string(), table.rows.size() + 1,
                  table.rows.back().size(), table.columns.size());
    }
  }
  return table;
}

}  // namespace

CsvCell::CsvCell(double value) : text_(shortest(value)) {}
CsvCell::CsvCell(float value) : text_(shortest(value)) {}
CsvCell::CsvCell(int value) : text_(shortest(value)) {}
CsvCell::CsvCell(std::int64_t value) : text_(shortest(value)) {}
CsvCell::CsvCell(std::uint64_t value) : text_(shortest(value)) {}

CsvCell::CsvCell(std::string_view value) : text_(fmt::format("{}{}", is_formula(value) ? "'" : "", escaped(value))) {
  // Some spreadsheets separate by semicolons.
  if (text_.find_first_of(",;\"") == text_.npos) return;
  std::string quoted(1, '"');
  for (const char c : text_) quoted.append(c == '"' ? 2 : 1, c);
  text_ = quoted + '"';
}

CsvFile::CsvFile(std::filesystem::path path, int descriptor, std::size_t columns)
    : path_(std::move(path)), descriptor_(descriptor), columns_(columns) {}

CsvFile::CsvFile(CsvFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      columns_(other.columns_),
      text_(std::move(other.text_)) {}

CsvFile& CsvFile::operator=(CsvFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(columns_, other.columns_);
  std::swap(text_, other.text_);
  return *this;
}

CsvFile::~CsvFile() {
  if (descriptor_ >= 0) file_calls().close(descriptor_);
}

CsvFile CsvFile::create(const std::filesystem::path& path, const std::vector<std::string>& columns) {
  return begin(path, open_for_writing(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND), columns);
}

CsvFile CsvFile::on_standard_output(const std::vector<std::string>& columns) {
  const int copy = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) throw Error("cannot write to standard output: {}", std::generic_category().message(errno));
  return begin("standard output", copy, columns);
}

CsvFile CsvFile::begin(const std::filesystem::path& path, int descriptor, const std::vector<std::string>& columns) {
  CsvFile file(path, descriptor, columns.size());
  file.append(line_of({columns.begin(), columns.end()}));
  return file;
}

void CsvFile::check(const std::filesystem::path& path, const std::vector<std::string>& columns, std::uint64_t rows) {
  if (rows > 0) vouched_text(path, line_of({columns.begin(), columns.end()}), rows);
}

CsvFile CsvFile::resume(const std::filesystem::path& path, const std::vector<std::string>& columns,
                        std::uint64_t rows) {
  if (rows == 0) return create(path, columns);
  std::string text = vouched_text(path, line_of({columns.begin(), columns.end()}), rows);
  CsvFile file(path, open_for_writing(path, O_RDWR | O_APPEND), columns.size());
  // A cut that cuts nothing would still be a change to whoever looks at the file's time.
  if (std::filesystem::file_size(path) != text.size() &&
      file_calls().ftruncate(file.descriptor_, static_cast<off_t>(text.size())) != 0) {
    throw Error("cannot cut \"{}\" to {} rows: {}", path.string(), rows, std::generic_category().message(errno));
  }
  file.text_ = std::move(text);
  return file;
}

void CsvFile::append(const std::string& lines) {
  write_all(descriptor_, path_, lines.data(), lines.size(), lines.size());
  text_ += lines;
}

void CsvFile::row(const std::vector<CsvCell>& cells) {
  if (cells.size() != columns_) {
    throw Error("a row of {} cells for the {} columns of \"{}\"", cells.size(), columns_, path_.string());
  }
  append(line_of(cells));
}

std::string CsvFile::damage() const {
  struct stat named {
  }, ours{};
  if (::stat(path_.c_str(), &named) != 0) return "was taken away";
  if (::fstat(descriptor_, &ours) != 0 || named.st_dev != ours.st_dev || named.st_ino != ours.st_ino) {
    return "was replaced by another file";
  }
  std::string there(text_.size() + 1, '\0');
  const ssize_t size = ::pread(descriptor_, there.data(), there.size(), 0);
  return size >= 0 && there.substr(0, static_cast<std::size_t>(size)) == text_ ? "" : "was changed by another program";
}

std::string CsvFile::mend() {
  std::string what = damage();
  if (what.empty()) return what;
  what = fmt::format("\"{}\" {}; all rows are written anew", path_.string(), what);
  if (const auto aside = set_aside(path_)) what += fmt::format(", what was there is {}", aside->filename().string());
  close_file(std::exchange(descriptor_, -1), path_);
  descriptor_ = open_for_writing(path_, O_RDWR | O_CREAT | O_EXCL | O_APPEND);
  append(std::exchange(text_, {}));
  return what;
}

void CsvFile::sync() { sync_file(descriptor_, path_); }

void CsvFile::close() {
  if (descriptor_ >= 0) close_file(std::exchange(descriptor_, -1), path_);
}

CsvTable CsvFile::table() const { return table_of(text_, path_); }

std::optional<std::filesystem::path> set_aside(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(std::filesystem::symlink_status(path, ignored))) return std::nullopt;
  for (int number = 1;; ++number) {
    std::filesystem::path aside = path;
    aside += fmt::format(".damaged-{}", number);
    if (std::filesystem::exists(std::filesystem::symlink_status(aside, ignored))) continue;
    if (file_calls().rename(path.c_str(), aside.c_str()) == 0) return aside;
    throw Error("cannot rename \"{}\" to \"{}\": {}", path.string(), aside.string(),
                std::generic_category().message(errno));
  }
}

std::size_t CsvTable::column(std::string_view name) const {
  const auto found = std::find(columns.begin(), columns.end(), name);
  if (found == columns.end()) throw Error("the CSV file has no column \"{}\"", name);
  return static_cast<std::size_t>(found - columns.begin());
}

CsvTable read_csv(const std::filesystem::path& path) { return table_of(text_of(path), path); }

}  // namespace unet
