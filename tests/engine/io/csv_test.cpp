// Rows that compare byte for byte, and what is left of them after a resume.
#include "engine/io/csv.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <functional>
#include <limits>

#include "tests/support/file_support.h"

namespace unet::tests::csv_test {
namespace {

const std::vector<std::string> kColumns = {"step", "loss"};

TEST(Csv, NumbersAreShortestAndReadBack) {
  EXPECT_EQ(CsvCell(0.1).text(), "0.1");
  EXPECT_EQ(CsvCell(0.1f).text(), "0.1");
  EXPECT_EQ(CsvCell(static_cast<double>(0.1f)).text(), "0.10000000149011612");
  EXPECT_EQ(CsvCell(1e-4).text(), "1e-04");
  EXPECT_EQ(CsvCell(1.0).text(), "1");
  EXPECT_EQ(CsvCell(std::numeric_limits<double>::quiet_NaN()).text(), "nan");
  EXPECT_EQ(CsvCell(std::int64_t{-9007199254740993}).text(), "-9007199254740993");
  EXPECT_EQ(CsvCell("plain").text(), "plain");
  EXPECT_EQ(CsvCell("a,\"b\"").text(), "\"a,\"\"b\"\"\"");
  for (double value = 1e-300; value < 1e300; value *= 1234.5678) {
    EXPECT_EQ(std::strtod(CsvCell(value).text().c_str(), nullptr), value);
  }
}

TEST(Csv, RowsAppearAtOnceAndReadBack) {
  const TemporaryFolder folder;
  CsvFile file = CsvFile::create(folder / "s.csv", {"name", "loss"});
  EXPECT_EQ(read_file(folder / "s.csv"), "name,loss\n");
  file.row({"a,\"b\"", 0.5});
  EXPECT_EQ(read_file(folder / "s.csv"), "name,loss\n\"a,\"\"b\"\"\",0.5\n");
  file.row({"", 2});
  EXPECT_EQ(file.table().rows.size(), 2u);
  EXPECT_NE(error_of([&] { file.row({1}); }).find("1 cells for the 2 columns"), std::string::npos);
  file.sync();
  file.close();
  const CsvTable table = read_csv(folder / "s.csv");
  EXPECT_EQ(table.columns, (std::vector<std::string>{"name", "loss"}));
  EXPECT_EQ(table.rows, (std::vector<std::vector<std::string>>{{"a,\"b\"", "0.5"}, {"", "2"}}));
  EXPECT_EQ(table.column("loss"), 1u);
  EXPECT_NE(error_of([&] { (void)table.column("dice"); }).find("\"dice\""), std::string::npos);
}

TEST(Csv, ResumeCutsToTheRowsOfTheCheckpoint) {
  const TemporaryFolder folder;
  const auto path = folder / "steps.csv";
  const auto write = [&](CsvFile file, int from, int to) {
    for (int step = from; step < to; ++step) file.row({step, 1.0 / step});
  };
  write(CsvFile::create(path, kColumns), 1, 8);
  const std::string left_alone = read_file(path);
  for (int kept = 0; kept < 8; ++kept) {
    // A killed run: more rows than the checkpoint knows, the last one torn.
    write_file(path, left_alone + "8,0.12");
    write(CsvFile::resume(path, kColumns, static_cast<std::uint64_t>(kept)), kept + 1, 8);
    EXPECT_EQ(read_file(path), left_alone) << kept;
  }
  EXPECT_EQ(CsvFile::resume(path, kColumns, 3).table().rows.size(), 3u);
}

TEST(Csv, ResumeRefusesWhatDoesNotFit) {
  const TemporaryFolder folder;
  const auto path = folder / "steps.csv";
  write_file(path, "step,loss\n1,2\n2,3");
  const auto error = [&](const std::vector<std::string>& columns, std::uint64_t rows) {
    return error_of([&] { CsvFile::resume(path, columns, rows); });
  };
  EXPECT_NE(error(kColumns, 2).find("has 1 whole rows, but the checkpoint was written after 2"), std::string::npos);
  EXPECT_NE(error({"step", "dice"}, 1).find("other columns"), std::string::npos);
  EXPECT_EQ(read_file(path), "step,loss\n1,2\n2,3");
  EXPECT_EQ(error(kColumns, 1), "");
  EXPECT_NE(error_of([&] { CsvFile::resume(folder / "absent.csv", kColumns, 1); }).find("is not there"),
            std::string::npos);
  // Before the first row there may be no file yet.
  EXPECT_EQ(CsvFile::resume(folder / "absent.csv", kColumns, 0).table().rows.size(), 0u);
  EXPECT_EQ(read_file(folder / "absent.csv"), "step,loss\n");
}

TEST(Csv, TextOfOthersIsInertAndReadsBack) {
  const std::vector<std::pair<std::string, std::string>> texts = {
      {"=HYPERLINK(\"http://x\",\"y\")", "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\""},
      {"+1", "'+1"},
      {"-1", "'-1"},
      {"@x", "'@x"},
      {" =x", "' =x"},
      {"'=x", "''=x"},
      {"'tis", "'tis"},
      {"a;=x", "\"a;=x\""},
      {"a\nb\r", "a\\x0ab\\x0d"},
      {"\x1b[2J\xff\xc2\x9b", "\\x1b[2J\\xff\\xc2\\x9b"},
      {"p\u00e9tale \u732b", "p\u00e9tale \u732b"}};
  const TemporaryFolder folder;
  CsvFile file = CsvFile::create(folder / "t.csv", {"name", "value"});
  for (const auto& [text, cell] : texts) {
    EXPECT_EQ(CsvCell(text).text(), cell);
    file.row({text, -1.5});
  }
  EXPECT_EQ(CsvCell(-1).text(), "-1") << "a number is no text";
  const CsvTable table = read_csv(folder / "t.csv");
  ASSERT_EQ(table.rows.size(), texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(table.rows[i], (std::vector<std::string>{escaped(texts[i].first), "-1.5"}));
  }
}

TEST(Csv, WhatASpreadsheetLeftIsRefusedAsItIs) {
  const TemporaryFolder folder;
  const auto path = folder / "steps.csv";
  for (const auto& [text, reason] : std::vector<std::pair<std::string, std::string>>{
           {"step,loss\r\n1,2\r\n2,3\r\n", "other columns than this run writes: \"step,loss\\x0d\""},
           {"step,loss\n1,2\n2,3\r\n", "line 3: \"3\\x0d\" is no number"},
           {"step;loss\n1;2\n2;3\n", "other columns"},
           {"step,loss\n1;2\n2;3\n", "line 2: 1 cells for 2 columns"},
           {"step,loss\n1,2\n2,3,\n", "line 3: 3 cells for 2 columns"},
           {"step,loss\n1,2\n2,0,3\n", "line 3: 3 cells for 2 columns"},
           {"step,loss\n1,2\n2,3", "has 1 whole rows"},
           {"step,loss\n", "has 0 whole rows"},
           {"\xef\xbb\xbfstep,loss\n1,2\n2,3\n", "other columns than this run writes: \"\\xef\\xbb\\xbfstep"},
           {"", "other columns"}}) {
    write_file(path, text);
    EXPECT_THROW(CsvFile::check(path, kColumns, 2), DamagedCsv) << text;
    EXPECT_NE(error_of([&] { CsvFile::resume(path, kColumns, 2); }).find(reason), std::string::npos) << text;
    EXPECT_EQ(read_file(path), text);
  }
  EXPECT_THROW(CsvFile::check(folder.path(), kColumns, 2), DamagedCsv) << "a folder";
  write_file(path, "step,loss\n1,nan\n2,\n3,-inf\n4,1e-310\n");
  CsvFile::check(path, kColumns, 4);
}

TEST(Csv, MendingCostsNoRow) {
  const TemporaryFolder folder;
  const auto path = folder / "steps.csv", other = folder / "other";
  CsvFile file = CsvFile::create(path, kColumns);
  for (int step = 1; step < 4; ++step) file.row({step, 0.5});
  const std::string all = read_file(path);
  EXPECT_EQ(file.mend(), "");
  const std::vector<std::pair<std::string, std::function<void()>>> damages = {
      {"taken away", [&] { std::filesystem::remove(path); }},
      {"replaced", [&] { write_file(other, all), std::filesystem::rename(other, path); }},
      {"changed", [&] { std::filesystem::resize_file(path, 7); }},
      {"changed", [&] { write_file(path, std::string(all.size(), 'x')); }},
      {"changed", [&] { write_file(path, all + "9,9\n"); }},
      {"replaced", [&] { std::filesystem::remove(path), std::filesystem::create_directory(path); }}};
  for (std::size_t i = 0; i < damages.size(); ++i) {
    damages[i].second();
    const std::string there = i > 0 && i < 5 ? read_file(path) : "";
    const std::string said = file.mend();
    EXPECT_NE(said.find(damages[i].first), std::string::npos) << said;
    EXPECT_EQ(read_file(path), all);
    if (i == 0) continue;
    const std::string aside = "steps.csv.damaged-" + std::to_string(i);
    EXPECT_NE(said.find(aside), std::string::npos) << said;
    if (i < 5) {
      EXPECT_EQ(read_file(folder / aside), there);
    }
  }
  file.row({4, 0.5});
  EXPECT_EQ(read_file(path), all + "4,0.5\n");
  EXPECT_EQ(file.mend(), "");
}

TEST(Csv, NothingIsLostInSilence) {
  const TemporaryFolder folder;
  EXPECT_NE(error_of([] { CsvFile::create("/dev/full", kColumns); }).find("No space left"), std::string::npos);
  EXPECT_NE(error_of([&] { CsvFile::create(folder / "a" / "b", kColumns); }).find("make the folder first"),
            std::string::npos);
  write_file(folder / "bad.csv", "a,b\n1,2\n3\n");
  EXPECT_NE(error_of([&] { read_csv(folder / "bad.csv"); }).find("line 3: 1 cells for 2 columns"), std::string::npos);
}

}  // namespace
}  // namespace unet::tests::csv_test
