import { answerAtRest } from "../embedded/at-rest";
import { performInDirectory } from "./perform-in-directory";

answerAtRest(process, performInDirectory).then((code) => process.exit(code));
