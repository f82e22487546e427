/* trouble_evaluator.h - which trials of every hundred give which trouble. */
#ifndef NASFARM_TROUBLE_EVALUATOR_H
#define NASFARM_TROUBLE_EVALUATOR_H

enum trouble {
    TROUBLE_CRASHES = 7,
    TROUBLE_NAN = 27,
    TROUBLE_HANGS = 47,
    TROUBLE_STRAGGLES = 67,
};

#endif
