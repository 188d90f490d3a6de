#include "apps/report/style.h"

#include <fmt/core.h>

namespace unet {
namespace {

constexpr std::size_t kSeries = 9;

std::string variables(const char* PageColour::*value) {
  std::string out;
  for (const PageColour& colour : kPageColours) out += fmt::format("--{}:{};", colour.name, colour.*value);
  return out;
}

constexpr const char* kRules = R"(
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 Inter,"Segoe UI","Helvetica Neue",Arial,"DejaVu Sans",sans-serif}
main{max-width:1240px;margin:0 auto;padding:20px 16px 40px}
h1{font-size:1.6rem;line-height:1.25;margin:.2em 0 .3em;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2.2em 0 .7em;padding-bottom:.3em;border-bottom:1px solid var(--line)}
h3{font-size:1rem;margin:0 0 .5em}
p{margin:.4em 0 .8em}
.soft,figcaption,caption{color:var(--soft)}
.note{max-width:75ch}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:16px 0;padding:0;list-style:none}
.tiles li,.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px 14px}
.tiles b{display:block;font-size:1.5rem;font-variant-numeric:tabular-nums;line-height:1.3}
.tiles span{color:var(--soft);font-size:.87rem}
section>.card{margin-bottom:14px}
section>.legend{margin-bottom:10px}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,360px),1fr));gap:16px;align-items:start}
.grid.wide{grid-template-columns:repeat(auto-fit,minmax(min(100%,520px),1fr))}
figure{margin:0}
figcaption{font-size:.87rem;margin-top:.4em;overflow-wrap:anywhere}
svg{display:block;width:100%;height:auto}
svg text{fill:var(--soft);font-size:13px}
.legend{display:flex;flex-wrap:wrap;gap:2px 14px;margin:.4em 0 0;padding:0;list-style:none;font-size:.87rem;overflow-wrap:anywhere}
.legend svg{display:inline-block;width:26px;height:10px;vertical-align:middle;margin-right:5px}
.legend i{display:inline-block;width:12px;height:12px;border:1px solid var(--ink);margin-right:5px;vertical-align:-1px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.93rem;min-width:100%}
caption{text-align:left;font-size:.87rem;padding-bottom:.4em}
th,td{padding:5px 10px;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th:first-child{text-align:left}
th{font-weight:600}
thead th{color:var(--soft)}
tbody th{font-weight:500}
.pairs td,.pairs th{white-space:normal;text-align:left;vertical-align:top;overflow-wrap:anywhere}
.pairs th{width:30%;min-width:110px}
.words td,.words th{text-align:left}.words td:last-child{white-space:normal;min-width:200px}
figure>svg{max-width:560px;margin:0 auto}
.heat td{background:rgba(var(--heat-rgb),calc(var(--v)*.45))}
.pictures{display:grid;grid-template-columns:repeat(4,1fr);gap:6px}
.batch{display:grid;grid-template-columns:repeat(auto-fill,minmax(140px,1fr));gap:6px}
.pictures img,.batch img{display:block;width:100%;height:auto;border-radius:4px;background:var(--band)}
.pictures span{display:block;font-size:.8rem;color:var(--soft);margin-bottom:2px}
pre{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px 14px;margin:.4em 0 1em;overflow-x:auto;font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
pre.wrap{white-space:pre-wrap;overflow-wrap:anywhere}
ul.warnings{margin:.4em 0 1em;padding-left:1.2em;color:var(--bad);overflow-wrap:anywhere}
.better{color:var(--good)}.worse{color:var(--bad)}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
@media (max-width:600px){.pictures{grid-template-columns:repeat(2,1fr)}main{padding:12px 10px 30px}h1{font-size:1.3rem}.card{padding:10px}th,td{padding:4px 7px}.words td:last-child{min-width:110px}}
@media print{:root{--paper:#ffffff}.soft,.legend{break-after:avoid}body{font-size:11pt}main{max-width:none;padding:0}.card,figure,tr,.tiles li{break-inside:avoid}h2,h3{break-after:avoid}.scroll{overflow:visible}.grid{grid-template-columns:repeat(2,1fr)}pre{white-space:pre-wrap;overflow-wrap:anywhere}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
)";

/// "31,95,208" of "#1f5fd0".
std::string numbers_of(const char* hex) {
  const auto at = [hex](int i) { return std::stoi(std::string(hex + i, 2), nullptr, 16); };
  return fmt::format("{},{},{}", at(1), at(3), at(5));
}

}  // namespace

std::string series_colour(std::size_t i) { return fmt::format("var(--s{})", i % kSeries + 1); }

std::string series_dash(std::size_t i) {
  constexpr const char* kDashes[] = {"", "6 4", "2 4", "9 3 2 3"};
  return kDashes[i / kSeries % 4];
}

std::string style_sheet() {
  std::string light = variables(&PageColour::light), dark = variables(&PageColour::dark);
  for (const PageColour& colour : kPageColours) {
    if (colour.name != std::string("heat")) continue;
    light += "--heat-rgb:" + numbers_of(colour.light) + ";";
    dark += "--heat-rgb:" + numbers_of(colour.dark) + ";";
  }
  return fmt::format(
             ":root{{color-scheme:light dark;{}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{}}}}}", light,
             dark) +
         kRules;
}

}  // namespace unet
