/** The sheet of the report. Colours follow the reader's preference for dark or light; nothing is loaded. */
export const STYLE: string = `
:root { color-scheme: light dark; --paper: light-dark(#fcfcfb, #16171a); --ink: light-dark(#1c1d20, #e6e7ea);
  --soft: light-dark(#5c6068, #a3a8b3); --line: light-dark(#d9dbe0, #34373e); --panel: light-dark(#f2f3f5, #1f2126);
  --ours: light-dark(#1f5fbf, #7fb0ff); --reference: light-dark(#8a4b00, #f0b060); --good: light-dark(#146c3b, #5fd08e);
  --bad: light-dark(#b3261e, #ff8a80); --cold: light-dark(#eef2f7, #23262d); --hot: light-dark(#c4281c, #ff6f5e); }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem clamp(1rem, 3vw, 2.5rem) 4rem; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .6rem; padding-top: .6rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.25rem 0 .4rem; }
p { margin: .4rem 0; max-width: 65rem; }
a { color: var(--ours); }
code, .mono, td.number, th.number { font-family: ui-monospace, 'DejaVu Sans Mono', monospace; font-size: .88em; }
code { overflow-wrap: anywhere; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1rem; list-style: none; margin: .75rem 0; padding: 0; }
:focus-visible { outline: 2px solid var(--ours); outline-offset: 2px; }
.skip { position: absolute; left: -999rem; } .skip:focus { position: static; }
.pass { color: var(--good); } .fail { color: var(--bad); } .soft { color: var(--soft); }
.badge { display: inline-block; border: 1px solid currentColor; border-radius: 1rem; padding: 0 .6rem; font-weight: 600; }
table { border-collapse: collapse; width: 100%; } caption { text-align: left; color: var(--soft); padding-bottom: .3rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 600; } td.number, th.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.scroll { overflow: auto; max-height: 34rem; border: 1px solid var(--line); border-radius: .4rem; padding: .5rem .75rem; }
.rungs { display: flex; flex-wrap: wrap; gap: .4rem; list-style: none; padding: 0; margin: .75rem 0; }
.rungs li { border: 1px solid var(--line); border-radius: .4rem; padding: .3rem .6rem; background: var(--panel); }
.rungs small { display: block; color: var(--soft); }
.causes { padding-left: 1.4rem; } .causes li { margin: .5rem 0; }
.facing { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1rem; }
.heat { width: auto; border-collapse: separate; border-spacing: 2px; }
.heat th { border: 0; padding: 0 .5rem 0 0; font-weight: 400; white-space: nowrap; }
.heat thead th { padding: 0 0 .2rem; text-align: center; font-size: .75rem; }
.heat td { border: 0; padding: 0; width: 2.1rem; min-width: 2.1rem; height: 1.35rem; border-radius: 2px; text-align: center;
  font-size: .62rem; line-height: 1.35rem; background: color-mix(in oklab, var(--hot) calc(var(--heat) * 100%), var(--cold)); }
.heat td.unknown { background: repeating-linear-gradient(45deg, var(--line) 0 2px, var(--cold) 2px 6px); }
.pieces { display: flex; flex-wrap: wrap; gap: .3rem; list-style: none; padding: 0; }
.pieces li { border: 1px solid var(--line); border-radius: .3rem; padding: 0 .4rem; background: var(--panel); }
.pieces small { color: var(--soft); margin-left: .35rem; }
.top { display: grid; grid-template-columns: minmax(6rem, 9rem) minmax(3rem, 1fr) 4.5rem; gap: 0 .5rem; align-items: center; margin: 0; }
.top dt { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; } .top dd { margin: 0; }
.bar { height: .55rem; border-radius: 2px; background: currentColor; min-width: 1px; }
.ours { color: var(--ours); } .reference { color: var(--reference); } .top .ink { color: var(--ink); }
figure { margin: 0; max-width: 36rem; } th.wide { min-width: 18rem; } th.token { min-width: 9rem; } figcaption { color: var(--soft); }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
svg .axis { stroke: var(--line); } svg .mark { fill: var(--ours); } svg .curve { stroke: var(--ours); fill: none; stroke-width: 1.5; }
svg .diagonal { stroke: var(--reference); stroke-dasharray: 4 3; }
@media print { .scroll { max-height: none; overflow: visible; } }
`;
