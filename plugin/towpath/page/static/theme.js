// Light, dark, or as the system has it. A classic script in the head: the first paint has the right colours.
(() => {
  const key = "towpath-theme";
  const themes = ["auto", "light", "dark"];
  const signs = { auto: "◐", light: "☀", dark: "☾" };
  const stored = () => {
    try {
      return localStorage.getItem(key);
    } catch {
      return null; // storage is forbidden
    }
  };
  const root = document.documentElement;
  root.dataset.theme = themes.includes(stored()) ? stored() : "auto";

  const show = (button) => {
    button.textContent = signs[root.dataset.theme];
    button.title = `Colours: ${root.dataset.theme} (t)`;
    button.setAttribute("aria-label", button.title);
  };
  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    show(button);
    button.addEventListener("click", () => {
      root.dataset.theme = themes[(themes.indexOf(root.dataset.theme) + 1) % themes.length];
      try {
        localStorage.setItem(key, root.dataset.theme);
      } catch {
        // for this visit alone, then
      }
      show(button);
      dispatchEvent(new Event("theme"));
    });
  });
})();
