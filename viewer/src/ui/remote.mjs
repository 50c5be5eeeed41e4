// The session, in a worker where the browser gives one to a page like this, else beside the page.

import { Session } from "../session.mjs";

const PATIENCE = 4000; // milliseconds for a worker to start

export class Remote {
  #worker;
  #session;
  #waiting = new Map();
  #number = 0;

  static async start() {
    const remote = new Remote();
    if (!(await remote.#startWorker())) remote.#session = new Session();
    return remote;
  }

  #startWorker() {
    return new Promise((resolve) => {
      let given = false;
      const give = (value) => {
        if (given) return;
        given = true;
        if (!value) this.stop();
        resolve(value);
      };
      try {
        const code = new Blob([document.getElementById("code").textContent], { type: "text/javascript" });
        const address = URL.createObjectURL(code);
        this.#worker = new Worker(address);
        this.#worker.onerror = () => give(false);
        this.#worker.onmessage = ({ data }) => {
          if (data === "ready") give(true);
          else this.#settle(data);
        };
        setTimeout(() => URL.revokeObjectURL(address), PATIENCE);
      } catch {
        give(false);
      }
      setTimeout(() => give(false), PATIENCE);
    });
  }

  #settle({ id, value, error }) {
    const { resolve, reject } = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) reject(Object.assign(new Error(error.message), { name: error.name }));
    else resolve(value);
  }

  async call(method, args = [], transfer = []) {
    if (this.#session) {
      await new Promise((resolve) => setTimeout(resolve)); // let the page draw
      return this.#session[method](...args);
    }
    const id = ++this.#number;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, method, args }, transfer);
    });
  }

  stop() {
    this.#worker?.terminate();
    this.#worker = undefined;
  }
}
