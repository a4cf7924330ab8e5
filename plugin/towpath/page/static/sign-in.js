// Exchanges the token for a cookie, and shows the page at the address that was asked for.
const problem = document.getElementById("problem");

document.getElementById("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const token = document.getElementById("token").value.trim();
  try {
    const answer = await fetch("/session", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token }),
    });
    if (answer.ok) location.reload();
    else problem.textContent = (await answer.json()).message;
  } catch {
    problem.textContent = "The server does not answer. Try again.";
  }
});
