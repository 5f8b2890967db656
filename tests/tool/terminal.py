# SPDX-License-Identifier: MIT
"""Runs a command on a terminal of so many columns and prints what it wrote there, with what a
terminal would show: terminal.py COLUMNS [--interrupt WORDS] COMMAND...

--interrupt WORDS sends Ctrl-C through the terminal when WORDS stand there. The last line of output
is "exit CODE; WIDEST columns; UPDATES updates", of what is written in place."""
import fcntl
import os
import pty
import struct
import sys
import termios

arguments = sys.argv[1:]
columns = int(arguments.pop(0))
words = None
if arguments[0] == "--interrupt":
    words = arguments[1].encode()
    arguments = arguments[2:]
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    os.execvp(arguments[0], arguments)
output = b""
while True:
    try:
        part = os.read(terminal, 65536)
    except OSError:  # Linux: the other end is closed
        break
    if not part:
        break
    output += part
    if words is not None and words in output:
        words = None
        os.write(terminal, b"\x03")
status = os.waitpid(pid, 0)[1]
text = output.decode(errors="replace").replace("\r\n", "\n")
# What stands on the screen in the end: \r goes back to the start, later text covers earlier.
for line in text.split("\n"):
    shown = ""
    for part in line.split("\r"):
        shown = part + shown[len(part):]
    print(shown.rstrip())
widest = max(len(part) for line in text.split("\n") for part in line.split("\r")[1:])
print(f"exit {os.waitstatus_to_exitcode(status)}; {widest} columns; {text.count(chr(13))} updates")
