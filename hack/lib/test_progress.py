"""The display of steps in progress.sh, by running it: without a terminal, and on one."""

import os
import pty
import re
import select
import signal
import subprocess
import tempfile
import termios
import time
import unittest
from pathlib import Path

PROGRESS = Path(__file__).with_name("progress.sh")
# Far more than anything here takes, for a busy machine.
DEADLINE = 60


class Steps(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        # What a step waits for, so that the test says when it ends.
        self.gate = self.folder / "gate"
        os.mkfifo(self.gate)
        self.environment = {**os.environ, "TMPDIR": str(self.folder), "GATE": str(self.gate), "TERM": "xterm"}

    def command(self, script):
        return ["bash", "-euo", "pipefail", "-c", f". '{PROGRESS}'\n{script}"]

    def run_script(self, script):
        return subprocess.run(
            self.command(script),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )

    def left(self):
        return sorted(path.name for path in self.folder.iterdir() if path != self.gate)

    def test_a_line_where_a_step_begins_and_ends(self):
        run = self.run_script(
            """
            step one 130 1 "the first"
            step two 60 2 "the second"
            step_heartbeat=0
            begin one sh -c 'echo of the step; read -r line <"$GATE"'
            begin two sh -c 'echo go >"$GATE"'
            echo between
            await one two
            """
        )
        self.assertEqual((run.returncode, run.stdout), (0, "between\n"), run.stderr)
        lines = run.stderr.splitlines()
        self.assertEqual(
            lines[:2],
            [
                "==> the first (2 min 10 s the first time, else 1 s)",
                "==> the second (1 min the first time, else 2 s)",
            ],
        )
        ended = [line for line in lines if line.startswith("    done ")]
        self.assertEqual(sorted(line.split()[-1] for line in ended), ["first", "second"])
        self.assertNotIn("of the step", run.stderr)
        self.assertNotIn("\033", run.stderr)
        self.assertEqual(self.left(), [])

    def test_what_still_runs_is_told_without_a_terminal(self):
        with subprocess.Popen(
            self.command(
                """
                step one 130 1 "the first"
                step_heartbeat=0
                begin one sh -c 'read -r line <"$GATE"'
                await one
                """
            ),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            self.assertIn("==> the first", process.stderr.readline())
            self.assertRegex(process.stderr.readline(), r"^    still running: the first \(\d+ s of 2 min 10 s\)$")
            self.gate.write_text("go\n")
            self.assertIn("    done ", process.stderr.read())
        self.assertEqual(process.returncode, 0)

    def test_a_failure_ends_what_runs_and_keeps_its_log(self):
        run = self.run_script(
            """
            begin other sh -c 'echo $$ >"$TMPDIR/../pid"; read -r line <"$GATE"'
            while [ ! -s "$TMPDIR/pid" ]; do :; done
            long "what fails" sh -c 'touch "$TMPDIR/scratch"; seq 100; echo why >&2; exit 7' || exit 9
            """
        )
        self.assertEqual(run.returncode, 9, run.stderr)
        lines = run.stderr.splitlines()
        told = re.fullmatch(
            r"error: failed after \d+ s with exit status 7: what fails; "
            r"the end of the log is above, the whole is in (\S+)",
            lines[-1],
        )
        self.assertTrue(told, run.stderr)
        self.assertEqual(lines[-3:-1], ["100", "why"])
        self.assertNotIn("10", lines)
        log = Path(told[1])
        self.assertEqual(log.read_text().splitlines()[0], "1")
        pid = (self.folder / "pid").read_text().strip()
        self.assertFalse(Path(f"/proc/{pid}").exists())
        self.assertEqual(self.left(), sorted([log.parent.name, "pid"]))
        self.assertEqual(list(log.parent.iterdir()), [log])

    def test_a_function_ends_at_its_first_failure(self):
        run = self.run_script('work() { false; echo "went on"; }\nbegin work work\nawait work')
        self.assertEqual(run.returncode, 1)
        self.assertNotIn("went on", run.stderr)

    def on_terminal(self, script):
        """Starts the script on its own 60-column terminal; returns its process id and the other end."""
        child, terminal = pty.fork()
        if child == 0:
            # Tests in the background inherit these as ignored, and bash cannot trap such signals.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            termios.tcsetwinsize(0, (24, 60))
            command = self.command(script)
            os.execvpe(command[0], command, self.environment)
        return child, terminal

    def read_until(self, terminal, pattern, text=""):
        """What the terminal gets up to the pattern, or up to its end if that is None."""
        deadline = time.monotonic() + DEADLINE
        while pattern is None or not re.search(pattern, text):
            self.assertLess(time.monotonic(), deadline, text)
            if select.select([terminal], [], [], 1)[0]:
                try:
                    text += os.read(terminal, 4096).decode()
                except OSError:
                    self.assertIsNone(pattern, text)
                    break
        return text

    def test_lines_are_drawn_anew_on_a_terminal(self):
        child, terminal = self.on_terminal(
            """
            step one 130 1 "the first"
            step two 60 2 "the second, told at such length that no line of sixty holds it"
            begin one sh -c 'printf "==> \\033[31mcompile\\n"; read -r line <"$GATE"'
            await one
            echo between
            begin two true
            await two
            """
        )
        text = self.read_until(terminal, r"the first: \[31mcomp")
        self.assertRegex(text, r"running  \d+ s of 2 min 10 s +the first")
        text = self.read_until(terminal, r"waiting  1 min, else 2 s +the second", text)
        self.gate.write_text("go\n")
        text = self.read_until(terminal, None, text)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0, text)
        os.close(terminal)
        # Only what stays may be wider than the terminal.
        drawn = [line for line in text.split("\r\n") if "running" in line or "waiting" in line]
        for line in drawn:
            self.assertLess(len(re.sub(r"\033\[\d*[AJ]|\r", "", line)), 60, line)
        self.assertEqual(
            [re.sub(r"  \d+ s +", " in time ", line) for line in screen(text)],
            [
                "    done    in time the first",
                "between",
                "    done    in time the second, told at such length that no line of sixty holds it",
            ],
        )

    def deep_step(self):
        """A step on a terminal whose child waits: the script's process, the terminal and the child."""
        child, terminal = self.on_terminal(
            """
            begin deep bash -c 'sh -c "echo \\$\\$ >$TMPDIR/../pid; cat \\"$GATE\\"" & wait'
            await deep
            """
        )
        self.read_until(terminal, "running")
        deadline = time.monotonic() + DEADLINE
        pid = self.folder / "pid"
        while not (pid.exists() and pid.read_text().strip()):
            self.assertLess(time.monotonic(), deadline)
        return child, terminal, Path(f"/proc/{pid.read_text().strip()}")

    def nothing_is_left(self, child, process):
        """The script ended as interrupted; nothing that it started still runs, and none of its files is left."""
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 130)
        deadline = time.monotonic() + DEADLINE
        while process.exists():
            self.assertLess(time.monotonic(), deadline, "what the step started still runs")
        self.assertEqual(self.left(), ["pid"])

    def test_ctrl_c_leaves_no_process_and_the_terminal_as_it_was(self):
        child, terminal, process = self.deep_step()
        before = termios.tcgetattr(terminal)
        os.write(terminal, b"\x03")
        text = self.read_until(terminal, None)
        self.nothing_is_left(child, process)
        self.assertEqual(termios.tcgetattr(terminal), before)
        self.assertTrue(text.endswith("\033[J"), repr(text))
        os.close(terminal)

    def test_a_signal_right_after_lines_were_drawn_or_erased_finds_them_as_they_are(self):
        for command in ("'%s\\n'", "'\\r\\033[%dA\\033[J'"):
            child, terminal = self.on_terminal(
                f"""
                printf() {{ builtin printf "$@"; [ "$1" != {command} ] || kill -INT $BASHPID; }}
                builtin printf '%s\n' before
                begin one sh -c 'read -r line <"$GATE"'
                await one
                """
            )
            text = self.read_until(terminal, None)
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 130, text)
            os.close(terminal)
            self.assertIn("running", text)
            self.assertEqual(screen(text), ["before"], repr(text))

    def test_a_terminal_that_goes_away_leaves_no_process(self):
        child, terminal, process = self.deep_step()
        os.close(terminal)
        self.nothing_is_left(child, process)


def screen(text):
    """The lines that a terminal shows in the end: what was drawn, moved up and erased."""
    lines = []
    for part in re.split(r"(\r\033\[\d+A\033\[J)", text):
        up = re.fullmatch(r"\r\033\[(\d+)A\033\[J", part)
        if up:
            del lines[len(lines) - int(up[1]) :]
        else:
            lines += part.split("\r\n")[:-1]
    return lines


if __name__ == "__main__":
    unittest.main()
