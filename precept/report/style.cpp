// The look of the report. Two hues carry the meaning everywhere: before is warm, after is blue (apart for every
// kind of colour vision, and in shape: before is hollow, after is solid). Contrast of text is at least 4.5 : 1.
#include "precept/report/sections.h"

namespace precept::section {

const char* style() {
  return R"css(
:root {
  --paper: #fbfaf7; --panel: #ffffff; --ink: #1f1e1b; --soft: #625f57; --rule: #e3dfd5; --wash: #f3f0e9;
  --before: #b1500f; --after: #1c5fa3; --before-wash: #f8e9dc; --after-wash: #e2edf8;
  --good: #23703f; --good-wash: #e3f1e6; --bad: #a8282e; --bad-wash: #f9e5e4; --odd: #6d5a12; --odd-wash: #f6efd6;
  --serif: "Iowan Old Style", "Palatino Linotype", Palatino, "URW Palladio L", P052, Georgia, "Noto Serif", "DejaVu Serif", serif;
  --sans: ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "Liberation Sans", Arial, sans-serif;
  --mono: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15171b; --panel: #1c1f24; --ink: #e9e6df; --soft: #a5a299; --rule: #31353c; --wash: #22262c;
    --before: #f0a062; --after: #82b8f2; --before-wash: #3a2a1d; --after-wash: #1d2d40;
    --good: #85cf9d; --good-wash: #1c3224; --bad: #f2938f; --bad-wash: #3b2122; --odd: #dcc56b; --odd-wash: #35301a;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-padding-top: 3.5rem; }
body { margin: 0; overflow-wrap: break-word; background: var(--paper); color: var(--ink); font: 16px/1.6 var(--sans); font-variant-numeric: tabular-nums; }
header, main, footer { max-width: 68rem; margin: 0 auto; padding: 0 clamp(1rem, 4vw, 2.5rem); }
header { padding-top: clamp(2rem, 6vw, 4.5rem); padding-bottom: 1.5rem; }
.eyebrow { margin: 0; font-size: .8rem; font-weight: 600; letter-spacing: .14em; text-transform: uppercase; color: var(--soft); }
h1 { margin: .25rem 0 .5rem; font: 600 clamp(1.5rem, 3.5vw, 2rem)/1.2 var(--serif); overflow-wrap: anywhere; }
.meta { margin: 0; color: var(--soft); font-size: .9rem; overflow-wrap: anywhere; }
.verdict { margin: clamp(1.5rem, 4vw, 2.75rem) 0 .5rem; font: 400 clamp(1.9rem, 5.4vw, 3.4rem)/1.12 var(--serif); letter-spacing: -.015em; text-wrap: balance; max-width: 24em; }
.verdict .before { color: var(--before); } .verdict .after { color: var(--after); }
.verdict-more { margin: .75rem 0 0; max-width: 52rem; text-wrap: pretty; color: var(--soft); font-size: 1.05rem; }
nav { position: sticky; top: 0; z-index: 2; display: flex; gap: .25rem; overflow-x: auto; padding: .5rem clamp(.5rem, 3.2vw, 2rem); background: var(--paper); border-bottom: 1px solid var(--rule); scrollbar-width: none; justify-content: safe center; }
nav a { flex: none; padding: .3rem .65rem; border-radius: 1rem; color: var(--soft); text-decoration: none; font-size: .88rem; }
nav a:hover, nav a:focus-visible { background: var(--wash); color: var(--ink); }
section { padding: clamp(2rem, 5vw, 3.25rem) 0 0; }
h2 { margin: 0 0 .35rem; font: 600 1.55rem/1.25 var(--serif); }
h3 { margin: 0; font-size: 1rem; line-height: 1.35; }
p { margin: .5rem 0; }
.lead { max-width: 44rem; margin: 0 0 1rem; color: var(--soft); }
.fine { max-width: 52rem; font-size: .84rem; line-height: 1.5; color: var(--soft); }
.n, .ci, .sub { color: var(--soft); font-size: .84rem; font-weight: 400; }
.sub { display: block; line-height: 1.3; }
.none { color: var(--soft); font-style: italic; }
code { font: .88em/1.4 var(--mono); overflow-wrap: anywhere; }
a { color: var(--after); }
:focus-visible { outline: 2px solid var(--after); outline-offset: 2px; }

.scope { padding: 1rem 1.25rem; border-left: 3px solid var(--odd); background: var(--odd-wash); border-radius: 0 .5rem .5rem 0; }
.scope h2 { font: 600 .95rem/1.4 var(--sans); color: var(--odd); }
.scope p, .scope ul { margin: .25rem 0 0; max-width: 54rem; font-size: .92rem; }
.scope ul { padding-left: 1.1rem; }
.warning { margin-top: clamp(1.5rem, 4vw, 2.25rem); padding: 1rem 1.25rem; border: 1px solid var(--bad); border-left-width: 6px; background: var(--bad-wash); border-radius: .5rem; }
.warning h2 { font: 600 1.1rem/1.4 var(--sans); color: var(--bad); }
.warning p { margin: .25rem 0 0; max-width: 54rem; }

.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(18.5rem, 100%), 1fr)); gap: 1rem; margin: 1rem 0; }
.card, .panel { background: var(--panel); border: 1px solid var(--rule); border-radius: .75rem; padding: 1.15rem 1.25rem; min-width: 0; }
.card h3 { display: flex; flex-wrap: wrap; justify-content: space-between; align-items: baseline; gap: .25rem .75rem; }
.better { font-size: .78rem; font-weight: 400; color: var(--soft); }
.sides { display: grid; grid-template-columns: 1fr 1fr; gap: .5rem; margin: .8rem 0 .9rem; }
.side { display: flex; flex-direction: column; }
.side .who { font-size: .78rem; font-weight: 600; letter-spacing: .06em; text-transform: uppercase; }
.side .big { font: 400 2.35rem/1.15 var(--serif); font-variant-numeric: lining-nums tabular-nums; letter-spacing: -.02em; }
.side.before .who, .side.before .big, .num.before { color: var(--before); }
.side.after .who, .side.after .big, .num.after { color: var(--after); }
.side .ci { font-size: .8rem; letter-spacing: -.01em; white-space: nowrap; } .side .n { font-size: .78rem; }
.change { margin: .6rem 0 0; padding-top: .7rem; border-top: 1px solid var(--rule); font-size: .9rem; line-height: 1.45; }
.change b { display: block; font-weight: 600; } .change span { color: var(--soft); font-size: .82rem; }

svg { display: block; overflow: visible; }
svg.track { overflow: visible; }
.grid { stroke: var(--rule); stroke-width: 1; } .axis { stroke: var(--soft); stroke-width: 1; }
.ideal { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 4 4; }
.link { stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 1 4; stroke-linecap: round; }
.arrow { fill: var(--soft); }
.whisker { stroke-width: 3; stroke-linecap: round; opacity: .45; }
.whisker.before { stroke: var(--before); } .whisker.after { stroke: var(--after); }
.dot.before { fill: var(--panel); stroke: var(--before); stroke-width: 2.5; }
.dot.after { fill: var(--after); stroke: var(--panel); stroke-width: 1.5; }
.level.near { fill: var(--after); } .level.far { fill: var(--bad); }
.limit { stroke: var(--ink); stroke-width: 1.5; stroke-dasharray: 3 3; }
.bar { fill: var(--after); } .line { fill: none; stroke: var(--after); stroke-width: 2; stroke-linejoin: round; }
svg text { font-family: var(--sans); fill: var(--soft); }
.tick { font-size: 11px; } .axis-name { font-size: 12px; } .value { font-size: 12px; }
svg .point-name { font-size: 13px; font-weight: 600; fill: var(--ink); } svg .value { fill: var(--ink); }
figure { margin: 0; min-width: 0; } figcaption { font-size: .9rem; font-weight: 600; margin-bottom: .25rem; }
.chart { width: 100%; max-width: 30rem; height: auto; }

.legend { display: flex; flex-wrap: wrap; align-items: center; gap: .4rem; margin: 0 0 .5rem; font-size: .88rem; color: var(--soft); }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: 50%; border: 2.5px solid var(--soft); }
.key.before { border-color: var(--before); } .key.after { border-color: var(--after); background: var(--after); margin-left: .6rem; }
.prows { border-top: 1px solid var(--rule); }
.prow { display: grid; grid-template-columns: minmax(0, 20rem) minmax(8rem, 1fr) 12.5rem; gap: .25rem 1.75rem; align-items: center; padding: .55rem 0; border-bottom: 1px solid var(--rule); }
.paxis { border-bottom: 0; padding: .1rem 0 0; }
.pid { display: block; font-weight: 600; overflow-wrap: anywhere; line-height: 1.35; }
.ptext { display: block; font-size: .84rem; line-height: 1.4; color: var(--soft); overflow-wrap: anywhere; }
.pnums { display: grid; grid-template-columns: 1fr 1fr; column-gap: .75rem; text-align: right; }
.pnums.one { grid-template-columns: 1fr; } .pnums.one .n { white-space: normal; }
.num { font-weight: 600; } .pnums .n { grid-column: 1 / -1; font-size: .78rem; white-space: nowrap; }

.split { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(21rem, 100%), 1fr)); gap: 1.5rem 2.5rem; align-items: center; }
.split .wide, .split .aside { min-width: 0; } .aside { max-width: 28rem; }
.flow { display: flex; gap: 3px; height: 1.6rem; margin: 1rem 0 .6rem; }
.flow span { min-width: 4px; border-radius: .2rem; }
.flow .kept, .key.kept { background: var(--good); border-color: var(--good); }
.flow .revised, .key.revised { background: var(--before); border-color: var(--before); }
.flow .unsettled, .key.unsettled { background: var(--bad); border-color: var(--bad); }
.flow .unread, .key.unread { background: var(--odd); border-color: var(--odd); }
.flow .failed, .key.failed { background: var(--soft); border-color: var(--soft); }
.flow-legend { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; margin: 0; padding: 0; list-style: none; font-size: .92rem; }
.flow-legend .key { border-radius: .2rem; margin: 0 .4rem 0 0; vertical-align: -1px; }
.facts { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; margin: 1.5rem 0; }
.fact b { display: block; font: 400 1.7rem/1.2 var(--serif); font-variant-numeric: lining-nums; } .fact span { font-size: .84rem; color: var(--soft); }
.facts-line { font-size: .88rem; color: var(--soft); } .facts-line b { color: var(--ink); }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 1rem; }
.panel .lead { margin: .15rem 0 .75rem; } .panel figure { margin: 1rem auto 0; max-width: 26rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); gap: 1.75rem 2rem; margin-top: 1rem; }

.scroll { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: .92rem; }
th { font-size: .8rem; font-weight: 600; color: var(--soft); text-align: left; vertical-align: bottom; line-height: 1.3; }
th, td { padding: .45rem .6rem; border-bottom: 1px solid var(--rule); } td { vertical-align: top; }
th:first-child, td:first-child { padding-left: 0; } th:last-child, td:last-child { padding-right: 0; }
.r { text-align: right; } td.r { white-space: nowrap; } .total td { font-weight: 600; border-bottom: 0; }

.trace { margin: .6rem 0; background: var(--panel); border: 1px solid var(--rule); border-radius: .75rem; }
.trace summary { display: flex; gap: .75rem; align-items: flex-start; justify-content: space-between; padding: .8rem 1.1rem; cursor: pointer; list-style: none; border-radius: .75rem; }
.trace summary::-webkit-details-marker { display: none; }
.trace summary .q::before { content: ""; display: inline-block; width: .45rem; height: .45rem; margin-right: .7rem; border: solid var(--soft); border-width: 0 1.5px 1.5px 0; transform: translateY(-.1rem) rotate(-45deg); }
.trace[open] summary .q::before { transform: translateY(-.2rem) rotate(45deg); }
.trace .q { font-weight: 600; overflow-wrap: anywhere; unicode-bidi: isolate; min-width: 0; }
.inside { padding: 0 1.1rem 1rem; border-top: 1px solid var(--rule); }
.label, .kind { font-size: .74rem; font-weight: 600; letter-spacing: .07em; text-transform: uppercase; color: var(--soft); }
.turns { margin-top: .9rem; } .turn { margin-bottom: .5rem; }
.text { margin: .1rem 0 .4rem; max-width: 50rem; white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; }
.pair .text { padding: .8rem 1rem; background: var(--wash); border-radius: .5rem; font: 1.06rem/1.65 var(--serif); max-width: none; }
del { color: var(--bad); background: var(--bad-wash); text-decoration: line-through; text-decoration-thickness: 1px; border-radius: .2rem; }
ins { color: var(--good); background: var(--good-wash); text-decoration: underline; text-decoration-thickness: 1px; text-underline-offset: .18em; border-radius: .2rem; }
.cut { font: italic .84rem var(--sans); color: var(--soft); }
.chips { display: flex; flex-wrap: wrap; gap: .4rem; align-items: center; margin: .6rem 0; }
.chip { display: inline-flex; flex: none; gap: .45rem; align-items: baseline; max-width: 100%; padding: .08rem .6rem; border-radius: 1rem; background: var(--wash); font-size: .82rem; line-height: 1.55; overflow-wrap: anywhere; }
.chips .chip { flex: 0 1 auto; }
.chip.good { background: var(--good-wash); color: var(--good); } .chip.bad, .chip.hard { background: var(--bad-wash); color: var(--bad); }
.chip.odd { background: var(--odd-wash); color: var(--odd); } .chip.changed { background: var(--before-wash); color: var(--before); }
.prob { font-size: .8rem; color: var(--soft); } .judgment .prob { margin-left: .5rem; }
.steps { margin: .9rem 0 0; padding: 0 0 0 1rem; list-style: none; border-left: 2px solid var(--rule); }
.steps li { margin: .3rem 0; } .steps .round { margin-top: .8rem; font-size: .84rem; font-weight: 600; color: var(--soft); }
.steps .round:first-child { margin-top: 0; }

.articles { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(24rem, 100%), 1fr)); gap: 0 2.5rem; }
.principle { padding: .9rem 0; border-top: 1px solid var(--rule); min-width: 0; }
.principle h3 { display: flex; flex-wrap: wrap; gap: .4rem; align-items: center; margin-bottom: .25rem; }
.principle h3 code { font-weight: 600; margin-right: .2rem; }
.rule { font: 1.05rem/1.5 var(--serif); } .why { font-size: .9rem; color: var(--soft); }
.source { font-size: .82rem; color: var(--soft); margin: .2rem 0 0; overflow-wrap: anywhere; }
pre { margin: 0; padding: 1rem 1.25rem; max-height: 36rem; overflow: auto; background: var(--wash); border-radius: .75rem; font: .84rem/1.55 var(--mono); }
footer { padding-top: 3rem; padding-bottom: 3rem; font-size: .84rem; color: var(--soft); }

@media screen and (max-width: 46rem) {
  th, td { padding: .4rem .3rem; } table { font-size: .86rem; } td.ci { white-space: normal; } td.r .ci { display: block; white-space: normal; }
  .loop-steps { font-size: .8rem; } .loop-steps th { font-size: .72rem; } .loop-steps th, .loop-steps td { padding: .4rem .15rem; }
  nav { justify-content: flex-start; }
  .prow { grid-template-columns: minmax(0, 1fr) auto; padding: .8rem 0; }
  .prow .pname { grid-column: 1 / -1; } .prow .ptrack { grid-column: 1 / -1; order: 3; padding: 0 6px; }
  .prow .pnums { grid-column: 1 / -1; grid-template-columns: auto auto 1fr; text-align: left; } .pnums .n { grid-column: auto; text-align: right; align-self: center; }
  .paxis .pname, .paxis .pnums { display: none; }
  .facts { gap: 1rem 1.75rem; }
}
@media print {
  :root { --paper: #fff; --panel: #fff; --ink: #000; --soft: #444; --rule: #ccc; --wash: #f5f5f5;
    --before: #b1500f; --after: #1c5fa3; --before-wash: #f8e9dc; --after-wash: #e2edf8;
    --good: #23703f; --good-wash: #e3f1e6; --bad: #a8282e; --bad-wash: #f9e5e4; --odd: #6d5a12; --odd-wash: #f6efd6; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  /* Everything is in rem: this makes three cards and two panels fit beside each other on A4 and letter. */
  html { font-size: 12.5px; } body { font-size: 1rem; }
  header, main, footer { max-width: none; padding: 0; } header { padding-bottom: 0; } footer { padding-top: 2rem; }
  nav { display: none; } .scroll { overflow: visible; }
  pre { max-height: none; overflow: visible; white-space: pre-wrap; overflow-wrap: anywhere; }
  .cards { grid-template-columns: repeat(3, 1fr); gap: .75rem; } .card { padding: .9rem 1rem; } .side .big { font-size: 1.9rem; }
  .lead, .fine, .card, .panel, .prow, .principle, .split, .facts, .flow-legend, .scope, .warning, figure, table, tr, .pair, .turn, .steps li { break-inside: avoid; }
  h2, h3, .lead, .legend, thead, .trace summary, .steps .round { break-after: avoid; } .fine { break-before: avoid; }
  .trace summary .q::before { display: none; }
}
/* On paper nothing can be opened, so all traces are. In a rule of its own: who does not know it drops it alone. */
@media print { details.trace::details-content { content-visibility: visible; display: block; height: auto; } }
@page { margin: 14mm; }
@media (prefers-reduced-motion: no-preference) { html { scroll-behavior: smooth; } }
)css";
}

}  // namespace precept::section
