# Paints the records of `ts-hotbackup --status` and `arch-ship --status` (flat JSON Lines) for monitor_dr.sh.

function text(name,    m) {
    if (!match($0, "\"" name "\":\"([^\"\\\\]|\\\\.)*\"")) return ""
    m = substr($0, RSTART + length(name) + 4, RLENGTH - length(name) - 5)
    gsub(/\\n/, " ", m)
    gsub(/\\"/, "\"", m)
    gsub(/\\\\/, "\\", m)
    return m
}
function number(name, line) {
    if (!match(line, "\"" name "\":-?[0-9.]+")) return ""
    return substr(line, RSTART + length(name) + 3, RLENGTH - length(name) - 3)
}
function paint(code, s) { return colour == "yes" ? "\033[" code "m" s "\033[0m" : s }
function bold(s) { return paint("1", s) }
function red(s) { return paint("31", s) }
function green(s) { return paint("32", s) }
function yellow(s) { return paint("33", s) }
function dim(s) { return paint("2", s) }
function size(n) {
    if (n == "") return "?"
    n += 0
    if (n < 1024) return n " B"
    if (n < 1048576) return sprintf("%.1f KiB", n / 1024)
    if (n < 1073741824) return sprintf("%.1f MiB", n / 1048576)
    if (n < 1099511627776) return sprintf("%.1f GiB", n / 1073741824)
    return sprintf("%.2f TiB", n / 1099511627776)
}
function span(s) {
    if (s == "") return "unknown"
    s = int(s)
    if (s < 120) return s " s"
    if (s < 7200) return sprintf("%d min", s / 60)
    if (s < 172800) return sprintf("%.1f h", s / 3600)
    return sprintf("%.1f days", s / 86400)
}
# One line, cut to the width; painting is done on what is left.
function cut(s, width) { return length(s) > width ? substr(s, 1, width - 3) "..." : s }
function put(s) { rows[++row] = s }
function bar(part, whole, width,    full, i, s) {
    full = whole > 0 ? int(width * part / whole) : 0
    for (i = 1; i <= width; i++) s = s (i <= full ? (unicode == "yes" ? "\342\226\210" : "#") : (unicode == "yes" ? "\342\226\221" : "."))
    return s
}
function rule(    i, s) {
    for (i = 1; i <= columns - 1; i++) s = s (unicode == "yes" ? "\342\224\200" : "-")
    return s
}

FILENAME != source { source = FILENAME; files++ }
source ~ /errors$/ { errors[++n_errors] = $0; next }

{ tool = text("tool"); type = text("type") }

type == "run_end" {
    verdict[tool] = text("status")
    message[tool] = text("message")
    answered[tool] = 1
}
tool == "ts-hotbackup" && type == "tablespace" {
    name = text("name")
    if (text("container") != "") name = text("container") ":" name
    order[++n_ts] = name
    ts_status[name] = text("status")
    ts_files[name] = number("files", $0)
    ts_bytes[name] = number("bytes", $0)
    ts_mode[name] = number("backup_mode_seconds", $0)
    ts_reason[name] = text("reason")
    total_bytes += ts_bytes[name]
    if (ts_status[name] == "copied") { done++; done_bytes += ts_bytes[name] }
    else if (ts_status[name] == "skipped") skipped++
    else failed++
}
tool == "ts-hotbackup" && type == "planned" {
    name = text("tablespace")
    order[++n_ts] = name
    ts_status[name] = "waiting"
    ts_bytes[name] = number("bytes", $0)
    total_bytes += ts_bytes[name]
    ts_reason[name] = text("reason")
}
type == "log" && text("level") != "info" { notes[++n_notes] = tool ": " text("message") }
tool == "arch-ship" && type == "standby" {
    scn = number("recoverable_to_scn", $0)
    when = text("recoverable_to_time")
    lag = number("lag_seconds", $0)
    lag_bytes = number("lag_bytes", $0)
    rest = $0
    while (match(rest, /\{[^{}]*"thread":[^{}]*\}/)) {
        one = substr(rest, RSTART, RLENGTH)
        rest = substr(rest, RSTART + RLENGTH)
        t = number("thread", one)
        threads[++n_threads] = sprintf("thread %-3s archived %-10s at the standby %-10s applied %s", t, \
            known(number("current", one)), known(number("received", one)), known(number("applied", one)))
    }
}
function known(n) { return n == "" ? "unknown" : n }
tool == "arch-ship" && type == "gap" {
    gaps[++n_gaps] = sprintf("thread %s sequence %s to %s missing at the %s: %s", number("thread", $0), number("from", $0), \
        number("to", $0), text("where"), text("reason"))
}

END {
    width = columns - 1
    title = sprintf(" %s  ->  %s", session, host)
    put(paint("7;1", sprintf("%-*s%s ", width - length(now) - 1, cut(title, width - length(now) - 2), now)))
    put("")
    if (!("ts-hotbackup" in answered)) {
        put(bold("HOT BACKUP") "   " dim("asking..."))
    } else if (n_ts == 0) {
        put(bold("HOT BACKUP") "   " cut(message["ts-hotbackup"] != "" ? message["ts-hotbackup"] : "no cycle yet", width - 13))
    } else {
        wanted = n_ts - skipped
        put(bold("HOT BACKUP") sprintf("   %d of %d tablespaces  ", done, wanted) \
            (done == wanted ? green(bar(done_bytes, total_bytes, 16)) : bar(done_bytes, total_bytes, 16)) \
            sprintf("  %s of %s", size(done_bytes + 0), size(total_bytes + 0)))
    }
    # The errors below need their place too.
    room = lines - 12 - (n_threads > 1 ? n_threads : 1) - (n_gaps > 2 ? 2 : n_gaps) - (n_errors > 0 ? n_errors : 1)
    if (room < 3) room = 3
    shown = 0
    split("failed waiting copied skipped", rank, " ")
    for (r = 1; r <= 4; r++) {
        for (i = 1; i <= n_ts; i++) {
            name = order[i]
            if (ts_status[name] != rank[r] || shown >= room) continue
            shown++
            detail = ts_reason[name]
            if (detail == "" && ts_mode[name] != "") detail = sprintf("%.1f s in backup mode", ts_mode[name])
            line = cut(sprintf("%-22s %5s %12s  %s", cut(name, 22), ts_files[name] == "" ? "" : ts_files[name] " f", \
                ts_bytes[name] == "" ? "" : size(ts_bytes[name]), detail), width - 12)
            sub(/ +$/, "", line)
            word = sprintf("  %-8s  ", rank[r])
            put((rank[r] == "failed" ? red(word) : rank[r] == "copied" ? green(word) : rank[r] == "waiting" ? yellow(word) : dim(word)) line)
        }
    }
    if (n_ts > shown) put(dim(sprintf("  and %d more", n_ts - shown)))
    put("")
    if (!("arch-ship" in answered)) {
        put(bold("REDO") "         " dim("asking..."))
    } else if (scn == "" && n_threads == 0 && verdict["arch-ship"] == "success") {
        put(bold("REDO") "         " cut("nothing to ship yet", width - 13))
    } else if (scn == "" && n_threads == 0) {
        put(bold("REDO") "         " red(cut(message["arch-ship"] != "" ? message["arch-ship"] : "no answer", width - 13)))
    } else {
        put(bold("REDO") "         lag " (lag + 0 > 3600 ? red(span(lag)) : green(span(lag))) \
            sprintf(", %s on the way; recoverable to SCN %s", size(lag_bytes), known(scn)))
        for (i = 1; i <= n_threads; i++) put("  " cut(threads[i], width - 2))
        if (n_gaps == 0) put("  gaps: " green("none"))
        for (i = 1; i <= n_gaps && i <= 2; i++) put("  " red(cut("GAP: " gaps[i], width - 2)))
        if (n_gaps > 2) put("  " red(sprintf("and %d more gaps", n_gaps - 2)))
    }
    put("")
    put(bold("LAST ERRORS AND WARNINGS"))
    if (n_errors == 0 && n_notes == 0) put("  " green("none"))
    for (i = 1; i <= n_notes && row < lines - 2; i++) put("  " yellow(cut(notes[i], width - 2)))
    for (i = 1; i <= n_errors && row < lines - 2; i++) put("  " (errors[i] ~ / error / ? red(cut(errors[i], width - 2)) : yellow(cut(errors[i], width - 2))))
    if (once != "yes") {
        while (row < lines - 1) put("")
        put(dim(cut("every " interval " s; Ctrl-b 0, 1, 2 changes the window, Ctrl-b d leaves it running", width)))
    }
    for (i = 1; i <= row && i <= lines; i++) printf "%s%s%s", rows[i], (colour == "yes" ? "\033[K" : ""), (i < row && i < lines ? "\n" : "")
    if (once == "yes") printf "\n"
}
