"""How the page's own parts look, in a light and a dark window."""

CSS = """
.gradio-container { max-width: min(1180px, 100%) !important; margin: 0 auto !important;
  --lm-soft: var(--neutral-600); --lm-line: var(--neutral-200); --lm-ground: var(--neutral-50) }
.dark .gradio-container, .dark.gradio-container {
  --lm-soft: var(--neutral-400); --lm-line: var(--neutral-700); --lm-ground: var(--neutral-800) }
/* Else the widest picture decides how wide the page is. */
.gradio-container, .gradio-container .main, .gradio-container .wrap, .gradio-container .contain { min-width: 0 }
.lm-text .html-container { padding: 0 }
.dark .lm-text { color-scheme: dark }
.lm-text { color: var(--body-text-color); font-size: 15px; line-height: 1.5 }
.lm-text p, .lm-text h1, .lm-text h2 { margin: 0 }
.lm-title { font-size: 22px; font-weight: 650; line-height: 1.3 }
.lm-near { gap: 6px !important }
.lm-about, .lm-note { color: var(--lm-soft); font-size: 13.5px }
.lm-note { padding-top: 6px }
.lm-about b { font-weight: 600; color: var(--body-text-color) }
.lm-settings > .form { display: grid !important; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr));
  background: var(--block-background-fill) }
.lm-panels > .column { flex: 1 1 300px !important; min-width: 0 !important }
.lm-text, .lm-text > .html-container { min-width: 0; max-width: 100% }
#attention { border: 0; background: none; padding: 0; flex: 0 0 auto; width: auto; margin: 0; white-space: nowrap }
.lm-buttons { align-items: center; gap: 10px }
.lm-name { font-size: 15px; font-weight: 600; padding-bottom: 6px; overflow-wrap: anywhere }
.lm-answer { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.6; padding: 11px 14px; min-height: 3em;
  border: 1px solid var(--lm-line); border-radius: 6px; background: var(--lm-ground);
  max-height: 60vh; overflow-y: auto }
.lm-opening, .lm-empty { color: var(--lm-soft) }
.lm-empty { font-style: italic }
.lm-cursor { display: inline-block; width: .5em; height: 1em; vertical-align: -.12em; margin-left: 1px;
  background: var(--color-accent); animation: lm-blink 1s steps(2) infinite }
@keyframes lm-blink { 50% { opacity: 0 } }
@media (prefers-reduced-motion: reduce) { .lm-cursor { animation: none } }
.lm-text .lm-error { padding: 9px 12px; overflow-wrap: anywhere; border-radius: 6px;
  color: var(--error-text-color); background: var(--error-background-fill);
  border: 1px solid var(--error-border-color) }
.lm-answer + .lm-error { margin-top: 8px }
.lm-bars { display: grid; grid-template-columns: fit-content(40%) 1fr auto; gap: 7px 10px; align-items: center;
  max-width: 720px }
.lm-bar { display: contents }
.lm-label { overflow-wrap: anywhere; text-align: right; line-height: 1.25 }
.lm-track { height: 16px; border-radius: 4px; background: var(--lm-line); overflow: hidden }
.lm-fill { display: block; height: 100%; background: var(--color-accent); min-width: 1px }
.lm-bar b { font-weight: 500; font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap }
.lm-bar:first-child .lm-label, .lm-bar:first-child b { font-weight: 650 }
.lm-looks { padding: 16px 0 0 }
.lm-wide { overflow-x: auto; padding: 8px 0 6px }
.lm-map { border-collapse: collapse; font-size: 13px; line-height: 1 }
.lm-map th { font-weight: 400; white-space: nowrap; color: var(--body-text-color) }
.lm-map th[scope=row] { text-align: right; padding: 0 8px 0 0; position: sticky; left: 0;
  background: var(--body-background-fill) }
.lm-map th[scope=col] { vertical-align: bottom; padding: 0 0 6px }
.lm-map th[scope=col] span { writing-mode: vertical-rl; transform: rotate(180deg); display: inline-block }
.lm-map td { min-width: 22px; width: 22px; height: 22px; padding: 0 }
.lm-map td[title] { border: 1px solid var(--lm-line);
  background: color-mix(in srgb, var(--color-accent) var(--w), transparent) }
.lm-map td[title]:hover { outline: 2px solid var(--body-text-color); outline-offset: -2px }
"""
