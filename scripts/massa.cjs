#!/usr/bin/env node
// The command `massa` of the published package. Plain old JavaScript: it must parse and speak on any Node.
"use strict";
var fs = require("fs");
var path = require("path");
var url = require("url");
var whenOrphaned = require("./orphan.cjs");

var entry = path.join(__dirname, "..", "dist", "main.js");

function refuse(line) {
  process.stderr.write("massa: " + line + "\n");
  process.exit(1);
}

if (Number(process.versions.node.split(".")[0]) < 24) {
  refuse(
    "Node 24 or newer is needed (this is " +
      process.version +
      "); type: npx -p node@24 node " +
      [__filename].concat(process.argv.slice(2)).join(" "),
  );
} else if (!fs.existsSync(entry)) {
  refuse("dist/ is missing, as in a checkout that was not built; type: npm run build");
} else {
  whenOrphaned(function () {
    process.kill(process.pid, "SIGTERM");
  });
  require("module").enableCompileCache();
  import(url.pathToFileURL(entry).href);
}
