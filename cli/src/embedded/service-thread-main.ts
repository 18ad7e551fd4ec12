import { parentPort, workerData } from "node:worker_threads";
import { runServiceThread } from "./run-service-thread";
import type { ThreadPlan } from "./thread-messages";

if (parentPort) void runServiceThread(parentPort, workerData as ThreadPlan);
