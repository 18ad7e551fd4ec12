import { answerAtRest } from "../embedded/at-rest";
import { auditDirectory } from "./audit-directory";

answerAtRest(process, auditDirectory).then((code) => process.exit(code));
