/* Slots and memory come from what a container may use, not from what its host has: made-up trees of control groups. */
#include <check.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "farm_kit.h"
#include "quota.h"

static char root[256];
static cpu_set_t before;

static void begin(void)
{
    kit_folder(root, sizeof root, "quota");
    ck_assert_int_eq(sched_getaffinity(0, sizeof before, &before), 0);
}

static void finish(void)
{
    kit_remove(root);
}

/* A file below the root, its folders made. */
static void put(const char *path, const char *text)
{
    char full[PATH_MAX];
    FILE *f;

    (void)snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        (void)mkdir(full, 0755);
        *slash = '/';
    }
    ck_assert_ptr_nonnull(f = fopen(full, "w"));
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
}

static uint32_t host(void)
{
    return (uint32_t)CPU_COUNT(&before);
}

static uint32_t at_most_host(uint32_t n)
{
    return n < host() ? n : host();
}

START_TEST(without_control_groups_all_is_ours)
{
    ck_assert_uint_eq(quota_cpus(root), host());
    ck_assert_uint_eq(quota_memory(root), 0);
}
END_TEST

START_TEST(version_2_in_a_container)
{
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/cpu.max", "100000 100000\n");
    put("/sys/fs/cgroup/memory.max", "536870912\n");
    ck_assert_uint_eq(quota_cpus(root), 1);
    ck_assert_uint_eq(quota_memory(root), 536870912);
}
END_TEST

START_TEST(a_part_of_a_processor_is_one)
{
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/cpu.max", "25000 100000\n");
    ck_assert_uint_eq(quota_cpus(root), 1);
    put("/sys/fs/cgroup/cpu.max", "150000 100000\n");
    ck_assert_uint_eq(quota_cpus(root), at_most_host(2));
    put("/sys/fs/cgroup/cpu.max", "100000000 100000\n");
    ck_assert_uint_eq(quota_cpus(root), host());
}
END_TEST

START_TEST(max_is_no_limit)
{
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/a/b/memory.max", "max\n");
    ck_assert_uint_eq(quota_cpus(root), host());
    ck_assert_uint_eq(quota_memory(root), 0);
}
END_TEST

START_TEST(the_tightest_of_all_groups_above_counts)
{
    put("/proc/self/cgroup", "0::/system.slice/job_7/step_0\n");
    put("/sys/fs/cgroup/system.slice/job_7/step_0/memory.max", "8000000\n");
    put("/sys/fs/cgroup/system.slice/job_7/memory.max", "4000000\n");
    put("/sys/fs/cgroup/system.slice/memory.max", "max\n");
    put("/sys/fs/cgroup/system.slice/job_7/cpu.max", "90000 100000\n");
    ck_assert_uint_eq(quota_memory(root), 4000000);
    ck_assert_uint_eq(quota_cpus(root), 1);
}
END_TEST

START_TEST(version_1_on_a_host)
{
    put("/proc/self/cgroup", "11:cpuset:/x\n4:cpu,cpuacct:/x\n3:memory:/x\n1:name=systemd:/x\n");
    put("/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "50000\n");
    put("/sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1000000\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    ck_assert_uint_eq(quota_cpus(root), 1);
    ck_assert_uint_eq(quota_memory(root), 1000000);
}
END_TEST

START_TEST(version_1_in_a_container_that_cannot_see_its_path)
{
    put("/proc/self/cgroup", "4:cpu:/docker/0123456789ab\n3:memory:/docker/0123456789ab\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n");
    ck_assert_uint_eq(quota_cpus(root), 1);
    ck_assert_uint_eq(quota_memory(root), 268435456);
}
END_TEST

START_TEST(version_1_writes_no_limit_as_minus_one)
{
    put("/proc/self/cgroup", "4:cpu:/\n3:memory:/\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    ck_assert_uint_eq(quota_cpus(root), host());
    ck_assert_uint_eq(quota_memory(root), 0);
}
END_TEST

START_TEST(nonsense_is_no_limit)
{
    static const char *const nonsense[] = {"",       "\n",     "100000", "0 100000", "100000 0",
                                           "many 1", "1 many", "-5 3",   "\xff\xfe"};

    put("/proc/self/cgroup", "nonsense\n:\n::\n0::/\n");
    for (size_t i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++) {
        put("/sys/fs/cgroup/cpu.max", nonsense[i]);
        ck_assert_uint_eq(quota_cpus(root), host());
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("quota");
    TCase *t = tcase_create("quota");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(t, begin, finish);
    tcase_add_test(t, without_control_groups_all_is_ours);
    tcase_add_test(t, version_2_in_a_container);
    tcase_add_test(t, a_part_of_a_processor_is_one);
    tcase_add_test(t, max_is_no_limit);
    tcase_add_test(t, the_tightest_of_all_groups_above_counts);
    tcase_add_test(t, version_1_on_a_host);
    tcase_add_test(t, version_1_in_a_container_that_cannot_see_its_path);
    tcase_add_test(t, version_1_writes_no_limit_as_minus_one);
    tcase_add_test(t, nonsense_is_no_limit);
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
