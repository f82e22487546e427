/* space_list.h - every search space, one a line: SPACE(x) is struct space_ops space_x of x.c. In the order of help texts.
 *
 * It is not: a header with a guard; whoever includes it defines SPACE first, and undefines it.
 */
SPACE(nasbench201)
SPACE(amoebanet)
SPACE(nasnet)
SPACE(darts)
SPACE(nasbench101)
SPACE(enas_macro)
SPACE(dag)
SPACE(mnasnet)
SPACE(proxyless)
SPACE(fbnet)
SPACE(ofa_mobilenetv3)
SPACE(spos_shufflenet)
SPACE(efficientnet)
SPACE(resnet_like)
SPACE(hyperparameters)
SPACE(fixed)
