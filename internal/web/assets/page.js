// What a page does better with a script, and does without: times in the browser's own zone, copying, printing.
"use strict";

for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.dateTime);
  if (!Number.isNaN(at.valueOf())) {
    time.title = time.textContent;
    time.textContent = at.toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
  }
}

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  const text = document.getElementById(button.dataset.copy);
  const before = button.textContent;
  button.addEventListener("click", async () => {
    getSelection().selectAllChildren(text); // for the keyboard, where the clipboard is not to be had
    try {
      await navigator.clipboard.writeText(text.textContent.trim());
    } catch {
      return;
    }
    button.textContent = button.dataset.copied;
    setTimeout(() => { button.textContent = before; }, 3000);
  });
}

for (const button of document.querySelectorAll("button[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}
