import { auditDirectory } from "./audit-directory";

auditDirectory(process).then((code) => process.exit(code));
