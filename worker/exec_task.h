/* exec_task.h - a task as one JSON document, for evaluators in other languages. docs/exec-evaluator.md describes it. */
#ifndef NASFARM_EXEC_TASK_H
#define NASFARM_EXEC_TASK_H

#include "task.h"
#include "wire.h"

/* malloc'd text. FARM_EGRAPH with a sentence when the task's graph is none. */
int exec_task_json(char **out, const struct wire_key *key, const struct task *task,
                   struct why *why);

#endif
