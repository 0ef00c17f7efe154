// Boxes that scroll sideways can be reached with the keyboard, as long as there is something to scroll.
(() => {
  const boxes = ".math-scroll, .pst-scrollable-table-container, .ff-scroll, .cell_output > .output, dt.sig";
  const nameOf = (box) => {
    if (box.matches(".math-scroll")) return box.dataset.label;
    const caption = box.querySelector("caption");
    if (caption) return caption.textContent.trim();
    return box.querySelector("table") ? "Table" : "Output";
  };
  const update = (box) => {
    if (box.scrollWidth > box.clientWidth + 1) {
      box.tabIndex = 0;
      if (box.matches("dt")) return;
      box.setAttribute("role", "group");
      box.setAttribute("aria-label", `${nameOf(box)}, scrolls sideways`);
    } else if (box.getAttribute("role") === "group") {
      ["tabindex", "role", "aria-label"].forEach((name) => box.removeAttribute(name));
    }
  };
  const sizes = new ResizeObserver((entries) => entries.forEach((entry) => update(entry.target)));
  const start = () => document.querySelectorAll(boxes).forEach((box) => sizes.observe(box));
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();

// One switch shows or hides all folded code of a page; the next page remembers it.
(() => {
  const kept = "book-code";
  const start = () => {
    const folds = [...document.querySelectorAll("details.hide")];
    const title = document.querySelector(".bd-article h1");
    if (!folds.length || !title) return;
    const button = Object.assign(document.createElement("button"), { type: "button", className: "code-switch" });
    const all = (open) => {
      folds.forEach((fold) => { fold.open = open; });
      button.textContent = open ? "Hide all code" : "Show all code";
      button.setAttribute("aria-pressed", open);
    };
    const remember = (open) => { try { localStorage.setItem(kept, open ? "open" : ""); } catch { /* not allowed here */ } };
    const remembered = () => { try { return localStorage.getItem(kept) === "open"; } catch { return false; } };
    button.addEventListener("click", () => {
      const open = button.getAttribute("aria-pressed") !== "true";
      all(open);
      remember(open);
    });
    all(remembered());
    (document.querySelector(".bd-article .chapter-line") ?? title).after(button);
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
