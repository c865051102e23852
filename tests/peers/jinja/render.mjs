// Reads lines {"template", "variables"} and writes lines {"text"} or {"error"}: what @huggingface/jinja makes of them.
import { createInterface } from "node:readline";
import { Template } from "@huggingface/jinja";

// One moment, so that strftime_now tells what the test gives our side: 26 July 2024, 12:34 UTC.
const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...given) {
    super(...(given.length > 0 ? given : [RealDate.UTC(2024, 6, 26, 12, 34)]));
  }
};

const answer = ({ template, variables }) => {
  try {
    return { text: new Template(template).render(variables) };
  } catch (error) {
    return { error: String(error.message) };
  }
};

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(answer(JSON.parse(line))) + "\n");
}
