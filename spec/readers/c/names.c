/* Chapter 4, names: layers get keys that differ, parameters of one name get one owner. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

size_t name_suffix(uint32_t number, char suffix[16]) {
    size_t size = 0;
    for (uint32_t rest = number; rest > 0; rest /= 10)
        size++;
    for (size_t i = size; i > 0; i--, number /= 10)
        suffix[i] = (char)('0' + number % 10);
    suffix[0] = '#';
    return size == 0 ? 0 : size + 1;
}

/* ---- The set: an AA tree ---- */

cmodel_status names_start(const context *c, name_tree *tree) {
    memset(tree, 0, sizeof *tree);
    TRY(grow(c, &tree->nodes, &tree->room, 0, sizeof *tree->nodes));
    memset(&tree->nodes[0], 0, sizeof tree->nodes[0]);
    tree->count = 1;
    return CMODEL_OK;
}

/* A name is two pieces: compare as if each were one string. */
static int compare(bytes a, uint32_t a_number, bytes b, uint32_t b_number) {
    char a_suffix[16], b_suffix[16];
    size_t plain = a.size < b.size ? a.size : b.size;
    int order = plain > 0 ? memcmp(a.data, b.data, plain) : 0;
    if (order != 0)
        return order;
    size_t a_size = a.size + name_suffix(a_number, a_suffix), b_size = b.size + name_suffix(b_number, b_suffix);
    size_t both = a_size < b_size ? a_size : b_size;
    for (size_t i = plain; order == 0 && i < both; i++)
        order = (int)(i < a.size ? a.data[i] : (uint8_t)a_suffix[i - a.size]) -
                (int)(i < b.size ? b.data[i] : (uint8_t)b_suffix[i - b.size]);
    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

uint32_t names_find(const name_tree *tree, bytes name, uint32_t number) {
    uint32_t at = tree->root;
    while (at != 0) {
        const name_node *node = &tree->nodes[at];
        int order = compare(name, number, node->name, node->number);
        if (order == 0)
            return node->item;
        at = order < 0 ? node->left : node->right;
    }
    return NO_ITEM;
}

static uint32_t skew(name_node *nodes, uint32_t root) {
    uint32_t left = nodes[root].left;
    if (nodes[left].level != nodes[root].level)
        return root;
    nodes[root].left = nodes[left].right;
    nodes[left].right = root;
    return left;
}

static uint32_t split(name_node *nodes, uint32_t root) {
    uint32_t right = nodes[root].right;
    if (nodes[nodes[right].right].level != nodes[root].level)
        return root;
    nodes[root].right = nodes[right].left;
    nodes[right].left = root;
    nodes[right].level++;
    return right;
}

/* As deep as the tree: at most twice the logarithm of its size. */
static uint32_t insert(name_node *nodes, uint32_t root, uint32_t added) {
    if (root == 0)
        return added;
    if (compare(nodes[added].name, nodes[added].number, nodes[root].name, nodes[root].number) < 0)
        nodes[root].left = insert(nodes, nodes[root].left, added);
    else
        nodes[root].right = insert(nodes, nodes[root].right, added);
    return split(nodes, skew(nodes, root));
}

cmodel_status names_add(const context *c, name_tree *tree, bytes name, uint32_t number, uint32_t item) {
    TRY(grow(c, &tree->nodes, &tree->room, tree->count, sizeof *tree->nodes));
    name_node *node = &tree->nodes[tree->count];
    memset(node, 0, sizeof *node);
    node->name = name;
    node->number = number;
    node->item = item;
    node->level = 1;
    tree->root = insert(tree->nodes, tree->root, (uint32_t)tree->count++);
    return CMODEL_OK;
}

/* ---- Layers and parameters ---- */

/* The first layer of a name has it as its key, the others name#n: n as small as gives no name and no key. */
static cmodel_status key_layers(const context *c, manifest *manifest, name_tree *tree) {
    for (size_t i = 0; i < manifest->layer_count; i++)
        if (names_find(tree, manifest->layers[i].name, 0) == NO_ITEM)
            TRY(names_add(c, tree, manifest->layers[i].name, 0, (uint32_t)i));
    for (size_t i = 0; i < manifest->layer_count; i++) {
        layer *this = &manifest->layers[i];
        layer *first = &manifest->layers[names_find(tree, this->name, 0)];
        if (this == first)
            continue;
        do
            this->number = ++first->last;
        while (names_find(tree, this->name, this->number) != NO_ITEM);
        TRY(names_add(c, tree, this->name, this->number, (uint32_t)i));
    }
    return CMODEL_OK;
}

static cmodel_status own_parameters(const context *c, manifest *manifest, name_tree *tree) {
    for (size_t i = 0; i < manifest->parameter_count; i++) {
        named_parameter *parameter = &manifest->parameters[i];
        uint32_t owner = names_find(tree, parameter->name, 0);
        parameter->owner = owner == NO_ITEM ? i : owner;
        if (owner == NO_ITEM)
            TRY(names_add(c, tree, parameter->name, 0, (uint32_t)i));
    }
    return CMODEL_OK;
}

cmodel_status name_layers(const context *c, manifest *manifest) {
    name_tree tree;
    cmodel_status status = names_start(c, &tree);
    if (status == CMODEL_OK)
        status = key_layers(c, manifest, &tree);
    free(tree.nodes);
    if (status != CMODEL_OK)
        return status;
    status = names_start(c, &tree);
    if (status == CMODEL_OK)
        status = own_parameters(c, manifest, &tree);
    free(tree.nodes);
    return status;
}
