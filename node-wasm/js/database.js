/**
 * The IndexedDB under the archive: its schema, and transactions as promises.
 *
 * Stores: `records` (one row per record of a chain's node machine, key [chainId, key]), `networks` (the genesis of each known
 * chain), `identities` (slot → seed), `meta` (fencing epochs, and leases where the browser has no Web Locks).
 * A write is reported as done only when its transaction completed with strict durability.
 */

import { DistliError } from "./errors.js";

const NAME = "distli";
const VERSION = 1;

/**
 * Opens (and on the first visit creates) the database.
 * @param {() => void} onGone called when the browser closes the database under us, e.g. because site data was cleared
 * @returns {Promise<IDBDatabase>}
 */
export function openDatabase(onGone) {
  return new Promise((resolve, reject) => {
    if (!globalThis.indexedDB) {
      reject(new DistliError("This browser gives the page no IndexedDB.", "Leave private mode or allow site data."));
      return;
    }
    const opening = indexedDB.open(NAME, VERSION);
    opening.onupgradeneeded = () => createStores(opening.result);
    opening.onblocked = () =>
      reject(new DistliError("An older tab holds the database open.", "Close the other tabs of this site and reload."));
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const db = opening.result;
      db.onversionchange = () => db.close();
      db.onclose = () => onGone();
      resolve(db);
    };
  });
}

/** @param {IDBDatabase} db */
function createStores(db) {
  db.createObjectStore("records", { keyPath: ["chainId", "key"] });
  db.createObjectStore("networks", { keyPath: "chainId" });
  db.createObjectStore("identities", { keyPath: "slot" });
  db.createObjectStore("meta", { keyPath: "key" });
}

/**
 * The result of one request; within a transaction it may be awaited without ending the transaction.
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
export function result(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/**
 * Reads in one transaction.
 * @template T
 * @param {IDBDatabase} db
 * @param {string} store
 * @param {(store: IDBObjectStore) => IDBRequest<T>} ask
 * @returns {Promise<T>}
 */
export function read(db, store, ask) {
  return result(ask(db.transaction(store, "readonly").objectStore(store)));
}

/**
 * Runs `body` in one read-write transaction with strict durability and resolves with its value once that is durable.
 * A throw inside `body` aborts the transaction: nothing of it is stored.
 * @template T
 * @param {IDBDatabase} db
 * @param {string[]} stores
 * @param {(transaction: IDBTransaction) => Promise<T> | T} body may await only requests of this transaction
 * @returns {Promise<T>}
 */
export function write(db, stores, body) {
  return new Promise((resolve, reject) => {
    const transaction = db.transaction(stores, "readwrite", { durability: "strict" });
    /** @type {T} */
    let value;
    /** @type {unknown} */
    let thrown;
    transaction.oncomplete = () => resolve(value);
    transaction.onabort = () => reject(thrown ?? transaction.error ?? new Error("the transaction was aborted"));
    Promise.resolve()
      .then(() => body(transaction))
      .then(
        (done) => {
          value = done;
        },
        (error) => {
          thrown = error;
          try {
            transaction.abort();
          } catch {
            reject(error);
          }
        },
      );
  });
}
