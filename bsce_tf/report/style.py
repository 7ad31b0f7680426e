"""The page's style sheet.

The colours are those of Okabe and Ito (2008, "Color Universal Design"), which people with all
common kinds of colour vision can tell apart, darker on white and lighter on black. Shapes and
dashes carry the same information.
"""

CSS = """
:root { color-scheme: light dark; --page: #fafaf8; --card: #fff; --ink: #1d2127; --soft: #5a636e;
  --rule: #dfe2e6; --bar: #d5e6f3; --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #b8528e;
  --c4: #b07d00; --c5: #2f8fc4; --c6: #7a6f00; --c7: #444c56; --head: #0072b2; --medium: #c98200;
  --tail: #c2450a; --shade: rgb(0 0 0 / 22%); }
@media (prefers-color-scheme: dark) { :root { --page: #14171b; --card: #1d2127; --ink: #e8eaed;
  --soft: #a5aeb8; --rule: #353b43; --bar: #1f4157; --c0: #56b4e9; --c1: #f0843c; --c2: #2fc79b;
  --c3: #e08fbf; --c4: #e6b422; --c5: #8fd0f5; --c6: #f0e442; --c7: #c3cad2; --head: #56b4e9;
  --medium: #e6a321; --tail: #f47b45; --shade: rgb(255 255 255 / 25%); } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main, header > div { max-width: 72rem; margin: auto; padding: 0 1rem; }
header { padding: 1.6rem 0 0.4rem; }
h1, h2, h3 { line-height: 1.2; overflow-wrap: anywhere; text-wrap: balance; }
h1 { font-size: 1.7rem; margin: 0 0 0.3rem; }
h2 { font-size: 1.3rem; margin: 2.4rem 0 0.6rem; }
h3 { font-size: 1.02rem; margin: 1.6rem 0 0.5rem; }
p { margin: 0.4rem 0; max-width: 44rem; overflow-wrap: anywhere; }
.soft, figcaption, caption { color: var(--soft); font-size: 0.875rem; }
a { color: var(--c0); }
a:focus-visible, .scroll:focus-visible, summary:focus-visible { outline: 2px solid var(--c0);
  outline-offset: 2px; }
nav ul, .legend, .cards, .gallery, .pairs, .doubts { list-style: none; margin: 0.6rem 0; padding: 0;
  display: flex; flex-wrap: wrap; gap: 0.3rem 1.1rem; }
nav ul { font-size: 0.92rem; }
nav li { max-width: 100%; overflow-wrap: anywhere; }
.legend { font-size: 0.875rem; }
.legend li { display: flex; align-items: center; gap: 0.4rem; max-width: 100%; }
.legend span { overflow-wrap: anywhere; }
.legend svg { flex: none; }
.card, figure, .scroll, .note { background: var(--card); border: 1px solid var(--rule);
  border-radius: 0.6rem; }
.cards { gap: 0.8rem; }
.card { padding: 0.8rem 1rem; flex: 1 1 12rem; min-width: 0; max-width: 22rem; }
.card b { display: block; font-size: 1.9rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.card span { display: block; overflow-wrap: anywhere; }
.findings { display: grid; gap: 0.8rem; align-items: start; margin: 0.8rem 0;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 18rem), 1fr)); }
.findings > div { background: var(--card); border: 1px solid var(--rule); border-radius: 0.6rem;
  padding: 0.7rem 1rem; min-width: 0; }
.findings h3 { margin: 0 0 0.3rem; }
.findings ul { margin: 0; padding-left: 1.1rem; }
.findings li { margin: 0.3rem 0; overflow-wrap: anywhere; }
.charts { display: grid; gap: 0.8rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 20.5rem), 1fr)); }
.split { display: grid; gap: 0.8rem; align-items: start;
  grid-template-columns: minmax(0, 1fr); }
@media (min-width: 56rem) { .split { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
figure { margin: 0; padding: 0.6rem; min-width: 0; }
figcaption { text-align: left; overflow-wrap: anywhere; }
figure > svg { display: block; width: 100%; height: auto; }
.charts figcaption { color: var(--ink); font-weight: 600; order: -1; }
.charts figure { display: flex; flex-direction: column; }
.scroll { overflow-x: auto; margin: 0.6rem 0; max-width: 100%; /* shadows where it scrolls */
  background: linear-gradient(to right, var(--card) 40%, transparent) left / 3rem 100%,
    linear-gradient(to left, var(--card) 40%, transparent) right / 3rem 100%,
    linear-gradient(to right, var(--shade), transparent) left / 1rem 100%,
    linear-gradient(to left, var(--shade), transparent) right / 1rem 100%, var(--card);
  background-repeat: no-repeat; background-attachment: local, local, scroll, scroll, scroll; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem;
  font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 0.5rem 0 0.2rem; }
caption span { display: block; width: fit-content; position: sticky; left: 0; padding: 0 0.8rem;
  max-width: calc(100vw - 2.2rem); }
th, td { text-align: left; padding: 0.32rem 0.8rem; border-top: 1px solid var(--rule);
  vertical-align: top; }
thead th { border-top: 0; color: var(--soft); font-weight: 600; white-space: nowrap; }
tbody th { font-weight: 600; }
tbody th, tbody td { overflow-wrap: break-word; min-width: 4.5rem; }
th.n, td.n { text-align: right; white-space: nowrap; min-width: 0; }
td.bar { background: linear-gradient(to left, var(--bar) var(--v), transparent var(--v)) no-repeat
  right 0.8rem bottom 0.22rem / calc(100% - 0.8rem) 0.22rem; padding-bottom: 0.55rem; }
td.bar span { color: var(--c0); }
td.same { color: var(--soft); }
.note { border-left: 0.3rem solid var(--medium); padding: 0.5rem 0.9rem; margin: 0.6rem 0;
  font-size: 0.92rem; max-width: none; }
details { margin: 0.6rem 0; }
summary { cursor: pointer; color: var(--c0); padding: 0.2rem 0; }
.gallery { display: grid; gap: 0.7rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 8.2rem), 1fr)); }
.gallery > li { display: flex; }
.gallery figure { flex: 1; }
.gallery .row { grid-template-columns: repeat(2, minmax(0, 1fr)); }
.gallery figcaption span { display: block; }
.gallery figcaption .given { color: var(--ink); }
.pairs { display: grid; gap: 0.8rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 25rem), 1fr)); }
.pairs > li { min-width: 0; background: var(--card); border: 1px solid var(--rule);
  border-radius: 0.6rem; padding: 0.7rem 0.9rem; }
.doubts { display: grid; gap: 0.8rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); }
.doubts > li { display: grid; grid-template-columns: minmax(0, 2fr) minmax(0, 3fr); gap: 0.8rem;
  align-items: start; min-width: 0; background: var(--card); border: 1px solid var(--rule);
  border-radius: 0.6rem; padding: 0.7rem 0.9rem; }
.doubts p span { white-space: nowrap; }
.doubts .sides { gap: 0.4rem 0.7rem; }
.doubts .row { grid-template-columns: repeat(2, minmax(0, 1fr)); }
.pairs h4, .doubts h4 { margin: 0 0 0.2rem; font-size: 1rem; overflow-wrap: anywhere; }
.sides { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0.6rem 1rem; }
.sides figure { border: 0; padding: 0; background: none; }
figcaption > span { line-height: 1.4; }
.split .scroll:first-child { margin-top: 0; }
.sides figcaption { margin-top: 0.25rem; }
.row { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 0.25rem; }
img, .unreadable { display: block; width: 100%; aspect-ratio: 1; object-fit: contain;
  background: #fff; border: 1px solid var(--rule); border-radius: 0.3rem; }
.unreadable { display: grid; place-items: center; text-align: center; background: var(--page);
  color: var(--soft); font-size: 0.75rem; }
svg text { font-size: 11px; fill: var(--soft); font-family: inherit; }
.grid path { stroke: var(--rule); fill: none; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke: var(--line); }
.line circle { fill: var(--line); stroke: none; }
.line.train { stroke-dasharray: 6 4; stroke-width: 1.5; }
.line.ema { stroke-dasharray: 1.5 3.5; stroke-linecap: round; stroke-width: 2.4; }
.line.swa { stroke-dasharray: 9 3 2 3; }
.line.swa circle { stroke: var(--card); stroke-width: 1; }
.plain { --line: var(--soft); }
.c0 { --line: var(--c0); } .c1 { --line: var(--c1); } .c2 { --line: var(--c2); }
.c3 { --line: var(--c3); } .c4 { --line: var(--c4); } .c5 { --line: var(--c5); }
.c6 { --line: var(--c6); } .c7 { --line: var(--c7); }
.stage path, .border { stroke: var(--soft); stroke-dasharray: 2 3; fill: none; }
.g0 { --mark: var(--head); } .g1 { --mark: var(--medium); } .g2 { --mark: var(--tail); }
.mark { fill: var(--mark); fill-opacity: 0.75; stroke: var(--card); stroke-width: 0.6; }
.cell { fill: var(--mark); }
.span { stroke: var(--mark); stroke-width: 4; fill: none; }
.mean { stroke: var(--ink); stroke-width: 1.8; fill: none; stroke-linejoin: round; }
footer { max-width: 72rem; margin: 2.5rem auto 0; padding: 0.8rem 1rem 2rem; color: var(--soft);
  font-size: 0.85rem; }
@media print { :root { color-scheme: light; --page: #fff; --card: #fff; --ink: #000; --soft: #444;
  --rule: #bbb; --bar: #d5e6f3; --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #b8528e;
  --c4: #b07d00; --c5: #2f8fc4; --c6: #7a6f00; --c7: #444c56; --head: #0072b2; --medium: #c98200;
  --tail: #c2450a; }
  body { font-size: 10pt; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  nav { display: none; } .scroll { overflow: visible; } .legend { break-after: avoid; }
  table { font-size: 8.5pt; } th, td { padding: 0.2rem 0.4rem; } caption span { max-width: none; }
  tbody th, tbody td { min-width: 0; overflow-wrap: anywhere; } thead th { white-space: normal; }
  td.bar { background-size: calc(100% - 0.4rem) 0.2rem; background-position: right 0.4rem bottom; }
  .split figure { max-width: 26rem; }
  figure, .pairs > li, .doubts > li, .card, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; } }
"""
