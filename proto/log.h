/* log.h - one line per event on standard error: time, level, program, sentence.
 *
 * It is not: the program's output (that is standard output), nor a record (store.h).
 * Control characters in the text are escaped, so that nothing a peer sends can draw on a terminal.
 */
#ifndef NASFARM_LOG_H
#define NASFARM_LOG_H

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* program is borrowed for ever: a literal or argv[0]'s base name. Default level LOG_INFO.
 * Standard descriptors that are closed become /dev/null, so that no store or socket takes their number and gets the
 * lines. */
void log_open(const char *program, enum log_level least);
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Called before (hide = 1) and after (hide = 0) each line, so that a progress line on the same
 * terminal can step aside. NULL: none. */
void log_on_line(void (*hook)(int hide, void *ctx), void *ctx);

#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

#endif
