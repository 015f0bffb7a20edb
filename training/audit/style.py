"""How ``audit.html`` looks."""

STYLE = """
:root { color-scheme: light dark; --fails: #c2332b; --gap: #b7791f; --good: #2f855a; --note: #8a8f98;
  --line: #8884; --tint: 66 120 190; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0; }
main { max-width: 1080px; margin: 0 auto; padding: 24px; }
h2 { font-size: 20px; margin: 40px 0 12px; }
h3 { font-size: 15px; margin: 16px 0 4px; }
p { margin: 4px 0 8px; }
small, em, footer { opacity: .7; font-style: normal; font-size: 13px; }
header { border-left: 8px solid; padding: 4px 20px; }
header ul { margin: 4px 0; padding-left: 18px; }
.verdict { font-size: 32px; font-weight: 650; margin: 0; }
header.fails, header.fails .verdict { color: var(--fails); }
header.gap, header.gap .verdict { color: var(--gap); }
header.good, header.good .verdict { color: var(--good); }
header > :not(.verdict) { color: CanvasText; }
article { border-left: 4px solid var(--note); padding: 2px 0 2px 14px; margin: 0 0 18px; }
article.fails { border-color: var(--fails); }
article.gap { border-color: var(--gap); }
article h3 { margin-top: 0; }
article h3 span { border: 1px solid var(--line); border-radius: 4px; padding: 0 6px; margin-right: 4px; }
.faces { display: flex; flex-wrap: wrap; gap: 4px; align-items: center; }
.faces img { border-radius: 4px; }
.pair { display: flex; flex-wrap: wrap; gap: 20px; }
.maps { display: flex; flex-wrap: wrap; gap: 20px; }
figure { margin: 0; overflow-x: auto; }
figcaption { font-weight: 650; }
table { border-collapse: separate; border-spacing: 2px; font-size: 13px; }
th { font-weight: 400; text-align: right; padding: 1px 6px; }
thead th { text-align: center; max-width: 74px; vertical-align: bottom; }
.maps td { width: 44px; height: 30px; text-align: center; border-radius: 3px;
  background: rgb(var(--tint) / calc(var(--fill) * .8));
  outline: 1px solid var(--line); outline-offset: -1px; }
.maps td.ring { outline: 3px solid var(--fails); outline-offset: -3px; }
.figures td, .limits td { padding: 2px 10px; }
"""
