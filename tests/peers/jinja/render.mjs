// Reads lines {"template", "variables"} and writes lines {"text"} or {"error"}: what @huggingface/jinja makes of them.
import { createInterface } from "node:readline";
import { Template } from "@huggingface/jinja";

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
