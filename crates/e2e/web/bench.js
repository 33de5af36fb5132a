// The bench's page: runs the worker once and hands back what it measured.
window.measure = (now) =>
  new Promise((resolve, reject) => {
    const worker = new Worker("bench-worker.js", { type: "module" });
    worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data));
    worker.onerror = (event) => reject(new Error(event.message));
    worker.postMessage(now);
  });
