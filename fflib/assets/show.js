// Sliders and guesses of a page. Each output carries this script; only its first run adds listeners.
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
  const tellGuesses = () => {
    document.querySelectorAll("[data-ff-reveal]").forEach((told) => {
      const chosen = document.querySelector(`input[name="${told.dataset.ffReveal}"]:checked`);
      if (!chosen) return;
      const right = chosen.value === told.dataset.ffAnswer;
      const text = chosen.closest("label").textContent.trim();
      told.textContent = `You guessed “${text}”: ${right ? "that is what came out." : "not what came out."}`;
    });
  };
  tellGuesses();
  if (window.ffShow) return;
  window.ffShow = true;
  document.addEventListener("input", (event) => {
    const input = event.composedPath()[0];
    if (input.matches(".ff-slider input[type=range]")) showFrame(input);
    if (input.matches(".ff-guess input[type=radio]")) tellGuesses();
  });
})();
