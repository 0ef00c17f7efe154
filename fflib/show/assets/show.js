// Sliders and guesses. In notebooks each output carries this script; only its first run adds listeners.
(() => {
  const showFrame = (input) => {
    const box = input.closest(".ff-slider");
    box.querySelectorAll(".ff-frame").forEach((frame, k) => {
      frame.hidden = k !== Number(input.value);
      if (frame.hidden) return;
      input.setAttribute("aria-valuetext", frame.dataset.text);
      box.querySelector("output").textContent = frame.dataset.text;
    });
  };
  const textOf = (field) => field.closest("label").querySelector("span").textContent.trim();
  const judge = {
    radio(fields, told) {
      const chosen = fields.find((field) => field.checked);
      if (!chosen) return "";
      const right = chosen.value === told.ffAnswer;
      return `You guessed “${textOf(chosen)}”: ${right ? "that is what came out." : "not what came out."}`;
    },
    number([field], told) {
      if (field.value === "") return "";
      const [mine, found] = [Number(field.value), Number(told.ffAnswer)];
      const close = Math.abs(mine - found) <= Math.abs(found) / 4;
      const said = close ? "that is close." : mine < found ? "too low." : "too high.";
      return `You guessed ${`${field.value} ${told.ffUnit}`.trim()}: ${said}`;
    },
    "select-one"(fields, told) {
      const placed = fields.filter((field) => field.value !== "");
      if (!placed.length) return "";
      if (placed.length < fields.length) return "You have not given every item a place yet.";
      const mine = [...fields].sort((a, b) => a.value - b.value).map((field) => fields.indexOf(field));
      const rank = told.ffAnswer.split(",").map(Number);
      const pairs = mine.flatMap((a, k) => mine.slice(k + 1).map((b) => rank.indexOf(a) < rank.indexOf(b)));
      const right = pairs.filter(Boolean).length;
      const said = right === pairs.length ? "that is what came out." : `${right} of ${pairs.length} pairs are in the measured order.`;
      return `You guessed ${mine.map((k) => textOf(fields[k])).join(", ")}: ${said}`;
    },
  };
  const tellGuesses = () => {
    document.querySelectorAll("[data-ff-reveal]").forEach((told) => {
      const fields = [...document.getElementsByName(told.dataset.ffReveal)];
      const text = fields.length ? judge[fields[0].type](fields, told.dataset) : "";
      if (told.textContent !== text) told.textContent = text;
      const chosen = fields.find((field) => field.type === "radio" && field.checked);
      told.parentElement.querySelectorAll("[data-ff-why]").forEach((why) => {
        why.hidden = chosen !== undefined && why.dataset.ffWhy !== chosen.value;
      });
    });
  };
  // On a page the answer waits below its question until the reader has chosen or asks; on paper, and
  // without this script, it stands at the end of the section.
  const close = (answer) => {
    const told = answer.querySelector("[data-ff-reveal]");
    const box = document.getElementsByName(told.dataset.ffReveal)[0]?.closest(".ff-guess");
    if (!box) return;
    const place = document.createComment("answer");
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Show me" });
    const show = (open) => { answer.hidden = !open; button.hidden = open; };
    answer.before(place);
    box.firstElementChild.append(button);
    box.append(answer);
    show(false);
    button.addEventListener("click", () => show(true));
    box.addEventListener("change", () => { if (told.textContent.startsWith("You guessed")) show(true); });
    let open = false;
    addEventListener("beforeprint", () => { open = !answer.hidden; answer.hidden = false; place.after(answer); });
    addEventListener("afterprint", () => { box.append(answer); show(open); });
  };
  // Places are exchanged, so that no two items share one.
  const exchange = (select) => {
    const fields = [...document.getElementsByName(select.name)];
    const taken = fields.find((field) => field !== select && field.value === select.value);
    if (taken && select.value !== "") taken.value = select.dataset.before ?? "";
    fields.forEach((field) => { field.dataset.before = field.value; });
  };
  tellGuesses();
  if (window.ffShow) return;
  window.ffShow = true;
  document.querySelectorAll(".ff-closed").forEach(close);
  ["pointerover", "focusin"].forEach((kind) => document.addEventListener(kind, (event) => {
    const slider = event.target.closest?.(".ff-slider");
    slider?.querySelectorAll("[loading=lazy]").forEach((picture) => { picture.loading = "eager"; });
  }));
  document.addEventListener("input", (event) => {
    const input = event.composedPath()[0];
    if (input.matches(".ff-slider input[type=range]")) showFrame(input);
    if (!input.matches(".ff-guess input, .ff-guess select")) return;
    if (input.matches("select")) exchange(input);
    tellGuesses();
  });
})();
