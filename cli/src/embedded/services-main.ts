import { hostServices } from "./host-services";

hostServices(process).then((code) => process.exit(code));
