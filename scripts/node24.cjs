// Runs a TypeScript file of this checkout on the Node that it needs, whatever Node npm itself runs on.
// Plain old JavaScript: it must parse and speak on any Node.
"use strict";
var fs = require("fs");
var path = require("path");
var child = require("child_process");
var whenOrphaned = require("./orphan.cjs");

var root = path.join(__dirname, "..");
var installed = path.join(root, "node_modules", "node", "bin", process.platform === "win32" ? "node.exe" : "node");
var major = Number(process.versions.node.split(".")[0]);

function refuse(line) {
  process.stderr.write("massa: " + line + "\n");
  process.exit(1);
}

if (!fs.existsSync(path.join(root, "node_modules", "typescript"))) {
  refuse("the development dependencies are not installed; type: npm install --include=dev");
}
var node = fs.existsSync(installed) ? installed : major >= 24 ? process.execPath : "";
if (node === "") {
  refuse(
    "Node 24 is missing (this is " +
      process.version +
      ") because install scripts were left out; type: npm rebuild node --ignore-scripts=false",
  );
}

var run = child.spawn(
  node,
  ["--conditions=massa-source", "--disable-warning=ExperimentalWarning"].concat(process.argv.slice(2)),
  {
    stdio: "inherit",
    cwd: process.cwd(),
    env: Object.assign({}, process.env, { PATH: path.dirname(node) + path.delimiter + process.env.PATH }),
  },
);
["SIGINT", "SIGTERM", "SIGHUP"].forEach(function (signal) {
  process.on(signal, function () {
    run.kill(signal);
  });
});
whenOrphaned(function () {
  run.kill("SIGTERM");
});
run.on("exit", function (code, signal) {
  process.exit(signal ? 128 + (require("os").constants.signals[signal] || 0) : code);
});
