// npm that is killed tells nobody: what it runs would keep running, and keep its ports. Between it and this process a shell
// may stand, which npm's death orphans (seen where /proc exists).
// Plain old JavaScript: it must parse and speak on any Node.
"use strict";
var fs = require("fs");

function ancestors() {
  var pids = [process.ppid];
  try {
    pids.push(
      Number(
        fs
          .readFileSync("/proc/" + process.ppid + "/stat", "utf8")
          .replace(/^.*\) /s, "")
          .split(" ")[1],
      ),
    );
  } catch (missing) {
    // Not Linux, or the parent has just ended, which its pid tells as well.
  }
  return pids.join(" ");
}

// Calls `end` once when the npm that runs this process is gone. Without npm a parent may go: a shell that was closed, for one.
module.exports = function whenOrphaned(end) {
  if (!process.env.npm_lifecycle_event) return;
  var born = ancestors();
  var watch = setInterval(function () {
    if (ancestors() === born) return;
    clearInterval(watch);
    end();
  }, 500);
  watch.unref();
};
